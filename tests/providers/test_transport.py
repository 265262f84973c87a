"""The transport, against a real server."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest

from adapters.transport import HttpTransport, open_transport
from application.ports import UpstreamBroken, WireRequest
from tests.scripted_provider import Script, ScriptedProvider, plain, scripted_provider, streamed


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with scripted_provider() as provider:
        yield provider


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    async with open_transport() as transport:
        yield transport


def asking(provider: ScriptedProvider, *, stream: bool = False, padding: int = 0) -> WireRequest:
    body = orjson.dumps({"stream": stream, "padding": "x" * padding})
    return WireRequest(url=f"{provider.url}/v1/chat/completions", headers={"Content-Type": "application/json"}, body=body)


async def test_a_whole_answer_is_read_and_its_connection_used_again(provider: ScriptedProvider, transport: HttpTransport) -> None:
    for _ in range(3):
        answer = await transport.post(asking(provider))
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert await answer.read(10_000) == plain(Script())
        await answer.close()
    assert len(provider.connections) == 1


async def test_a_stream_is_read_to_its_end_in_whatever_pieces(provider: ScriptedProvider, transport: HttpTransport) -> None:
    provider.script = Script(split_at=(1, 50, 300), pause_s=0.002)
    answer = await transport.post(asking(provider, stream=True))
    assert b"".join([piece async for piece in answer.chunks()]) == streamed(Script(), {})


async def test_a_body_of_several_megabytes_is_sent(provider: ScriptedProvider, transport: HttpTransport) -> None:
    answer = await transport.post(asking(provider, padding=5_000_000))
    await answer.read(10_000)
    assert len(provider.received[0].body["padding"]) == 5_000_000


async def test_a_longer_answer_than_allowed_breaks(provider: ScriptedProvider, transport: HttpTransport) -> None:
    answer = await transport.post(asking(provider))
    with pytest.raises(UpstreamBroken, match="longer"):
        await answer.read(20)
    await answer.close()


async def test_where_nobody_listens_nothing_was_sent(transport: HttpTransport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(UpstreamBroken) as broken:
        await transport.post(WireRequest(url=f"http://127.0.0.1:{port}/", headers={}, body=b""))
    assert (broken.value.sent, broken.value.timed_out) == (False, False)


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://x/", "http://127.0.0.1:99999/"])
async def test_an_address_that_is_none_is_a_broken_upstream(transport: HttpTransport, url: str) -> None:
    with pytest.raises(UpstreamBroken) as broken:
        await transport.post(WireRequest(url=url, headers={}, body=b""))
    assert not broken.value.sent


async def test_a_connection_cut_before_the_head_was_sent_all_the_same(transport: HttpTransport) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamBroken) as broken:
            await transport.post(WireRequest(url=f"http://127.0.0.1:{port}/", headers={}, body=b"{}"))
    assert broken.value.sent


@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_cut_in_the_middle_breaks(provider: ScriptedProvider, transport: HttpTransport, stream: bool) -> None:
    provider.script = Script(cut_after_bytes=100)
    answer = await transport.post(asking(provider, stream=stream))
    with pytest.raises(UpstreamBroken) as broken:
        await answer.read(10_000)
    await answer.close()
    assert broken.value.sent


async def test_silence_before_the_head_and_within_the_body_times_out(provider: ScriptedProvider, transport: HttpTransport) -> None:
    provider.hold()
    with pytest.raises(UpstreamBroken) as broken:
        await transport.post(asking(provider), silence_max=timedelta(milliseconds=50))
    assert (broken.value.sent, broken.value.timed_out) == (True, True)
    provider.release()
    provider.script = Script(endless=True)
    answer = await transport.post(asking(provider, stream=True), silence_max=timedelta(milliseconds=50))
    with pytest.raises(UpstreamBroken) as broken:
        await answer.read(10_000)
    assert broken.value.timed_out
    await answer.close()


async def test_an_answer_closed_early_is_cancelled_at_the_provider(provider: ScriptedProvider, transport: HttpTransport) -> None:
    provider.script = Script(endless=True)
    answer = await transport.post(asking(provider, stream=True))
    await anext(answer.chunks())
    await answer.close()
    await asyncio.wait_for(provider.received[0].disconnected.wait(), 2)


async def test_redirects_are_not_followed(provider: ScriptedProvider, transport: HttpTransport) -> None:
    provider.script = Script(status=307, headers={"Location": f"{provider.url}/elsewhere"}, raw=b"")
    answer = await transport.post(asking(provider))
    await answer.read(10)
    assert (answer.status, len(provider.received)) == (307, 1)


async def test_the_reasons_of_a_break_hold_no_address(transport: HttpTransport) -> None:
    with pytest.raises(UpstreamBroken) as broken:
        await transport.post(WireRequest(url="http://secret-host.invalid/", headers={}, body=b""))
    assert "secret-host" not in str(broken.value)
    assert not broken.value.sent
