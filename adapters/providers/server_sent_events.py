"""Server-sent events, read from bytes that were cut anywhere."""

from typing import Final

EVENT_BYTES_MAX: Final = 2 * 1024 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class EventReader:
    """Gives the `data` of each event; names, ids and comments don't matter here.

    Where the bytes were cut never shows: an event is given when the blank line after it is complete.
    """

    __slots__ = ("_after_return", "_begun", "_rest", "too_long")

    def __init__(self) -> None:
        self.too_long = False
        """An event exceeded EVENT_BYTES_MAX: nothing is read any more."""
        self._rest = bytearray()
        """The beginning of an event; holds no blank line."""
        self._after_return = False
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        if self.too_long:
            return []
        if self._after_return or b"\r" in data:
            data = self._with_line_feeds(data)
        rest = self._rest
        if rest:
            seen = len(rest)
            rest += data
            if rest.find(b"\n\n", seen - 1) < 0:
                self.too_long = self._overflows()
                return []
            data = bytes(rest)
            rest.clear()
        blocks = data.split(b"\n\n")
        rest += blocks.pop()
        payloads: list[bytes] = []
        for block in blocks:
            if len(block) > EVENT_BYTES_MAX:
                self.too_long = True
                return payloads
            if (payload := self._payload(block)) is not None:
                payloads.append(payload)
        self.too_long = self._overflows()
        return payloads

    def end(self) -> list[bytes]:
        """The bytes are over: some servers leave out the last blank line."""
        return self.feed(b"\n\n")

    def _overflows(self) -> bool:
        return len(self._rest) > EVENT_BYTES_MAX + 1  # the first half of a blank line is not the event's

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Lines may end in LF, CRLF or CR; and a CRLF may have been cut in two."""
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
            self._after_return = False
        if data:
            self._after_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _payload(self, block: bytes) -> bytes | None:
        if not self._begun:
            self._begun = True
            block = block.removeprefix(BYTE_ORDER_MARK)
        if block.startswith(b"data: ") and b"\n" not in block:
            return block[6:]
        lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        return b"\n".join(lines) if lines else None
