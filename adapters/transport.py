"""All network work towards providers: one aiohttp client, without redirects, cookies or retries."""

import io
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    InvalidURL,
    NonHttpUrlClientError,
    TCPConnector,
)
from yarl import URL

from application.ports import UpstreamBroken, WireRequest

CONNECT_MAX_S: Final = 10
SILENCE_MAX: Final = timedelta(minutes=10)
"""Where a model names no time-out: as long as OpenAI's own clients wait."""
IDLE_CONNECTION_MAX_S: Final = 15
DNS_KEPT_S: Final = 30
READ_BUFFER_BYTES: Final = 64 * 1024
"""aiohttp stops reading from the socket at twice this much."""
HEADER_BYTES_MAX: Final = 32 * 1024
PLAIN_BODY_BYTES_MAX: Final = 512 * 1024
"""aiohttp warns of larger bodies given as bytes, since it writes them in one piece."""
HEADERS: Final = {"User-Agent": "ledger-gateway", "Accept-Encoding": "identity"}
"""Uncompressed, since compressing a stream delays its events."""


@asynccontextmanager
async def open_transport(*, trust_env: bool = False, ca_file: Path | None = None) -> AsyncIterator["HttpTransport"]:
    """`trust_env`: use the proxies that the environment names. `ca_file`: certificates to trust instead of the system's."""
    connector = TCPConnector(
        limit=0,  # the log admits; 256 streams and more may be open at once
        ttl_dns_cache=DNS_KEPT_S,
        keepalive_timeout=IDLE_CONNECTION_MAX_S,
        ssl=True if ca_file is None else ssl.create_default_context(cafile=ca_file),
    )
    session = ClientSession(
        connector=connector,
        headers=HEADERS,
        cookie_jar=DummyCookieJar(),
        trust_env=trust_env,
        read_bufsize=READ_BUFFER_BYTES,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
    async with session:
        yield HttpTransport(session)


class HttpTransport:
    """HTTP over the network."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def post(self, request: WireRequest, *, silence_max: timedelta | None = None) -> "HttpAnswer":
        body = request.body if len(request.body) <= PLAIN_BODY_BYTES_MAX else io.BytesIO(request.body)
        try:
            response = await self._session.post(
                URL(request.url, encoded=request.signed),
                data=body,
                headers=request.headers,
                timeout=_timeout(silence_max or SILENCE_MAX),
                allow_redirects=False,
            )
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise UpstreamBroken("no connection", sent=False, timed_out=isinstance(error, TimeoutError)) from None
        except (InvalidURL, NonHttpUrlClientError, ValueError):
            raise UpstreamBroken("not an address", sent=False) from None
        except (ClientError, TimeoutError, OSError) as error:
            raise _broken(error, sent=True) from None
        return HttpAnswer(response)


class HttpAnswer:
    """One answer, its head read."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}

    async def read(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        length = 0
        async for piece in self.chunks():
            length += len(piece)
            if length > limit:
                raise UpstreamBroken(f"the answer is longer than {limit} bytes", sent=True)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> "HttpAnswer":
        """Not a generator: one that is left before its end costs a task to clean up."""
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._response.content.readany()
        except (ClientError, TimeoutError, OSError) as error:
            raise _broken(error, sent=True) from None
        if not piece:
            raise StopAsyncIteration
        return piece

    async def close(self) -> None:
        """An answer that was read to its end has given its connection back already; any other's is cut."""
        self._response.close()


@lru_cache(maxsize=1024)
def _timeout(silence: timedelta) -> ClientTimeout:
    return ClientTimeout(total=None, sock_connect=CONNECT_MAX_S, sock_read=silence.total_seconds())


def _broken(error: Exception, *, sent: bool) -> UpstreamBroken:
    """Named after its class alone: aiohttp's texts hold addresses."""
    return UpstreamBroken(type(error).__name__, sent=sent, timed_out=isinstance(error, TimeoutError))
