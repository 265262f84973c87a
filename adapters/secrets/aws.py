"""AWS's default chain: its variables, its files, the role of the machine or the pod; revealed as a JSON object with AWS's own names."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from domain.credential.events import SecretSource
from domain.errors import Unavailable

BEARER: Final = "AWS_BEARER_TOKEN_BEDROCK"
"""An API key of Bedrock's goes before everything else, as in AWS's own tools."""
LOOKED_AGAIN_AFTER_S: Final = 5.0
"""Looking where nothing is can take seconds, and all who ask wait for one look."""

log = logging.getLogger(__name__)


def new_session() -> Any:
    from botocore.session import Session

    return Session()


class DefaultChain:
    """Looked up in a thread, since that may ask files and servers. What was found is kept as long as botocore says that it is fresh."""

    def __init__(self, variables: Mapping[str, str] = os.environ, session: Callable[[], Any] = new_session) -> None:
        self._variables = variables
        self._new_session = session
        self._session: Any = None
        self._credentials: Any = None
        self._revealed = ""
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()

    async def reveal(self, source: SecretSource) -> str:
        if bearer := self._variables.get(BEARER):
            region = self._variables.get("AWS_REGION") or self._variables.get("AWS_DEFAULT_REGION")
            return _written({"aws_bearer_token_bedrock": bearer, "aws_region": region})
        if self._is_due():
            async with self._looking:
                if self._is_due():
                    await asyncio.to_thread(self._look)
        if not self._revealed:
            raise Unavailable("AWS's default chain finds no credentials.")
        return self._revealed

    def _is_due(self) -> bool:
        if self._looked_at is not None and time.monotonic() - self._looked_at < LOOKED_AGAIN_AFTER_S:
            return False
        needs_refresh = getattr(self._credentials, "refresh_needed", None)  # keys that have no end have no such question
        return not self._revealed or (needs_refresh is not None and needs_refresh())

    def _look(self) -> None:
        try:
            self._revealed = self._look_up()
        except Exception as error:  # noqa: BLE001 (whatever the chain's parts raise; their texts may quote files and addresses)
            log.warning("AWS's default chain fails with %s", type(error).__name__)
            self._revealed = ""
        self._looked_at = time.monotonic()

    def _look_up(self) -> str:
        if self._credentials is None:
            self._session = self._new_session()
            self._credentials = self._session.get_credentials()
        if self._credentials is None:
            return ""
        keys = self._credentials.get_frozen_credentials()
        return _written(
            {
                "aws_access_key_id": keys.access_key,
                "aws_secret_access_key": keys.secret_key,
                "aws_session_token": keys.token,
                "aws_region": self._session.get_config_variable("region"),
            }
        )


def _written(said: dict[str, str | None]) -> str:
    return orjson.dumps({name: value for name, value in said.items() if value}).decode()
