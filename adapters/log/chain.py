"""The hash chain: each event's hash covers the one before it. `docs/log-format.md` specifies it, with test vectors."""

from hashlib import sha256
from struct import Struct

GENESIS = bytes(32)
ABSENT = b"\xff\xff\xff\xff"
"""Stands where the length of an absent causation id would."""

_two_u64 = Struct(">QQ").pack
_i64 = Struct(">q").pack
_u32 = Struct(">I").pack


def link(
    previous: bytes,
    position: int,
    version: int,
    stream: str,
    topic: str,
    at_micros: int,
    org: str,
    by: str,
    correlation_id: str,
    causation_id: str | None,
    state: bytes,
) -> bytes:
    """The hash of one event. `at_micros`: microseconds since the Unix epoch, UTC. `state`: the bytes as stored."""
    return sha256(
        b"".join(
            (
                previous,
                _two_u64(position, version),
                _text(stream),
                _text(topic),
                _i64(at_micros),
                _text(org),
                _text(by),
                _text(correlation_id),
                ABSENT if causation_id is None else _text(causation_id),
                _u32(len(state)),
                state,
            )
        )
    ).digest()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _u32(len(encoded)) + encoded
