"""A provider that costs next to nothing: canned answers over raw asyncio, so that the figures are the gateway's.

`python -m tests.performance.upstream PORT DELAY_MS EVENTS EVENT_MS`: plain answers after DELAY_MS; streams of EVENTS, EVENT_MS apart.
"""

import asyncio
import sys
from typing import cast

import orjson
import uvloop

USAGE = {"prompt_tokens": 200, "completion_tokens": 24, "total_tokens": 224}
ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "bench-upstream",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 24}, "finish_reason": "stop"}],
    "usage": USAGE,
}


def chunk(delta: dict[str, str], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    event = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "bench-upstream",
        "choices": [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}],
        "usage": usage,
    }
    return b"data: " + orjson.dumps(event) + b"\n\n"


PLAIN = orjson.dumps(ANSWER)
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(PLAIN)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Upstream(asyncio.Protocol):
    delay_s: float
    events: int
    event_s: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's in all but name.
        self.transport = cast("asyncio.Transport", transport)
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        self.received = body[length:]
        if b'"stream":true' in body or b'"stream": true' in body:
            asyncio.get_running_loop().create_task(self.stream())
        elif self.delay_s:
            asyncio.get_running_loop().call_later(self.delay_s, self.transport.write, PLAIN_HEAD + PLAIN)
        else:
            self.transport.write(PLAIN_HEAD + PLAIN)

    async def stream(self) -> None:
        self.transport.write(STREAM_HEAD)
        self.send(chunk({"role": "assistant", "content": ""}))
        for number in range(self.events):
            if self.event_s:
                await asyncio.sleep(self.event_s)
            self.send(chunk({"content": f"word {number} "}))
        self.send(chunk({}, "stop") + chunk({}, usage=USAGE) + b"data: [DONE]\n\n")
        self.transport.write(b"0\r\n\r\n")

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))


async def main(port: int, delay_ms: float, events: int, event_ms: float) -> None:
    Upstream.delay_s, Upstream.events, Upstream.event_s = delay_ms / 1000, events, event_ms / 1000
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
