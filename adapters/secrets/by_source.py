"""Secrets, each from where its source says."""

from collections.abc import Mapping

from application.ports import Secrets
from domain.credential.events import SecretSource
from domain.errors import Unavailable


class BySource:
    def __init__(self, sources: Mapping[str, Secrets]) -> None:
        self._sources = sources

    async def reveal(self, source: SecretSource) -> str:
        secrets = self._sources.get(source.source)
        if secrets is None:
            raise Unavailable("This gateway does not read secrets from where the credential's is.")
        return await secrets.reveal(source)
