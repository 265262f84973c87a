"""Keys issued and revoked by whoever has the machine: directly on the log, without asking over HTTP."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

from adapters.clock import SystemClock
from adapters.log.postgres_log import PostgresLog
from application.ports import Log
from domain.api_key.commands import IssueApiKey, RevokeApiKey
from domain.api_key.events import Permissions
from domain.api_key.secret import SECRET_BYTES, digest_of, prefix_of, secret_of
from domain.errors import NotFound
from domain.ids import ApiKeyId, TeamId
from domain.team.team import ADMINISTRATORS, TEAMS, Status


class Issued(NamedTuple):
    api_key_id: ApiKeyId
    secret: str


async def issue(
    log: Log,
    name: str,
    *,
    by: str,
    team_id: str = ADMINISTRATORS,
    api_key_id: ApiKeyId | None = None,
    admin: bool = False,
    expires_at: datetime | None = None,
) -> Issued:
    team = log.view.get(TEAMS, team_id)
    if team is None or team.status is Status.DELETED:
        raise NotFound(f"There is no team {team_id}")
    secret = secret_of(secrets.token_bytes(SECRET_BYTES))
    command = IssueApiKey(
        api_key_id=api_key_id or ApiKeyId(_uuid7()),
        name=name,
        team_id=TeamId(team_id),
        key_prefix=prefix_of(secret),
        secret_sha256=digest_of(secret),
        permissions=Permissions(admin=admin),
        expires_at=expires_at,
    )
    await log.submit(command, by=by, correlation_id=_uuid7())
    return Issued(command.api_key_id, secret)


async def revoke(log: Log, api_key_id: ApiKeyId, *, by: str) -> None:
    await log.submit(RevokeApiKey(api_key_id=api_key_id), by=by, correlation_id=_uuid7())


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresLog]:
    """The log, for a moment, by a process that admits no completions."""
    log = PostgresLog(url)
    try:
        await log.start()
        yield log
    finally:
        await log.stop()


def _uuid7() -> str:
    return str(SystemClock().uuid7())
