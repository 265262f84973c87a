"""A TCP proxy before PostgreSQL that cuts a connection around a COMMIT, or swallows what the server says to it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

Cut = Literal["before", "after", "swallow"]
"""Before COMMIT is forwarded; right after; or the connection stays, and the server's answers come no more."""

COMMIT = b"COMMIT\0"
PARSE_HEAD_BYTES = 6
"""A `Parse` message without a name: its letter, its length, an empty name, the query."""
PIECE_BYTES = 1 << 16


class Proxy:
    def __init__(self, url: str) -> None:
        self.lead_to(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{self._server[1]}/", f":{self._listener.getsockname()[1]}/")
        self.cut: Cut | None = None
        """What happens to the next COMMIT; None again once it has."""
        self.reachable = True
        self._mute: set[socket.socket] = set()
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def lead_to(self, url: str) -> None:
        """Where new connections go."""
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        self._server = (address.hostname, address.port)

    def close(self) -> None:
        self.refuse()
        _shut(self._listener)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._ends):
            end.close()

    async def cutting(self) -> None:
        """Returns when the cut that was asked for has been made."""
        while self.cut:  # noqa: ASYNC110 (it is made in a thread)
            await asyncio.sleep(0.005)

    def refuse(self) -> None:
        """Cut every connection, and take no new ones until `reachable` is True again."""
        self.reachable = False
        for end in self._ends:
            _shut(end)

    def mute(self) -> None:
        """The connections that there are stay, and nothing that the server says arrives on them any more."""
        self._mute.update(self._ends)

    def _run(self, what: Callable[..., None], *ends: socket.socket) -> None:
        thread = threading.Thread(target=what, args=ends, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._ends.append(client)
                if not (self.reachable and self._connect(client)):
                    _shut(client)

    def _connect(self, client: socket.socket) -> bool:
        try:
            server = socket.create_connection(self._server)
        except OSError:
            return False
        self._ends.append(server)
        self._run(self._upstream, client, server)
        self._run(self._downstream, server, client)
        return True

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(PIECE_BYTES):
                cut = self.cut if COMMIT in piece else None
                if cut == "swallow":
                    self._mute.add(client)
                server.sendall(piece[: piece.index(COMMIT) - PARSE_HEAD_BYTES] if cut == "before" else piece)
                if cut is not None:
                    self.cut = None
                if cut in ("before", "after"):
                    break
        _shut(client)
        _shut(server)

    def _downstream(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(PIECE_BYTES):
                if client not in self._mute:
                    client.sendall(piece)
        _shut(client)


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
