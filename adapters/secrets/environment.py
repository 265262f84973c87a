"""Secrets from environment variables."""

import os
from collections.abc import Mapping

from domain.credential.events import SecretSource
from domain.errors import Unavailable


class Environment:
    """Reads at each use, so that nothing is kept."""

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        self._variables = variables

    async def reveal(self, source: SecretSource) -> str:
        if source.source == "none":
            return ""
        secret = self._variables.get(source.name)
        if not secret:
            raise Unavailable("The credential's secret is not set in the gateway's environment.")
        return secret
