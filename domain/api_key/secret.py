"""The secret of an API key: how it is written, and what of it may be kept."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

TYPE_PREFIX: Final = "pk_test_"
SECRET_BYTES: Final = 32
SHOWN_CHARACTERS: Final = 8


def secret_of(random: bytes) -> str:
    """`random` holds SECRET_BYTES bytes."""
    return TYPE_PREFIX + urlsafe_b64encode(random).rstrip(b"=").decode()


def prefix_of(secret: str) -> str:
    """What people recognise a key by."""
    return secret[: len(TYPE_PREFIX) + SHOWN_CHARACTERS]


def digest_of(secret: str) -> str:
    """What a key is looked up by. It is random enough that its hash needs no salt and no slowness."""
    return sha256(secret.encode()).hexdigest()
