"""Load on one address: raw asyncio, keep-alive, closed loop or paced; times each request to its first byte and to its end.

`python -m tests.performance.load` reads one JSON object from standard input and prints one: see `Load` and `Result`.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

import uvloop


@dataclass(frozen=True)
class Load:
    port: int
    secret: str
    body: str
    connections: int
    seconds: float
    pace_per_second: float = 0.0
    """0: each connection sends its next request as soon as the last is answered."""
    think_ms: float = 0.0


@dataclass
class Result:
    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    first_byte_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    failure: str = ""


async def connection(load: Load, result: Result, until: float, start_after_s: float) -> None:
    await asyncio.sleep(start_after_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", load.port, limit=1 << 20)
    body = load.body.encode()
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {load.secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    interval = load.connections / load.pace_per_second if load.pace_per_second else 0.0
    due = time.perf_counter()
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        first = time.perf_counter()
        lower = head.lower()
        if b"content-length:" in lower:
            answer = await reader.readexactly(int(lower.partition(b"content-length:")[2].split(b"\r\n")[0]))
        else:
            answer = await reader.readuntil(b"0\r\n\r\n")
        ended = time.perf_counter()
        result.requests += 1
        if b" 200 " not in head.split(b"\r\n", 1)[0] or b'"error"' in answer:
            result.failed += 1
            result.failure = (head[:60] + answer[:300]).decode(errors="replace")
        result.first_byte_ms.append((first - began) * 1000)
        result.total_ms.append((ended - began) * 1000)
        if interval:
            due += interval
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        elif load.think_ms:
            await asyncio.sleep(load.think_ms / 1000)
    writer.close()


async def run(load: Load) -> Result:
    result = Result()
    began = time.perf_counter()
    stagger = 1 / load.pace_per_second if load.pace_per_second else 0.0
    await asyncio.gather(*(connection(load, result, began + load.seconds, number * stagger) for number in range(load.connections)))
    result.seconds = time.perf_counter() - began
    return result


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(asdict(runner.run(run(Load(**json.load(sys.stdin)))))))
