"""Teams as administrators see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.kernel import Event, Recorded
from domain.team.events import TeamActivated, TeamCreated, TeamDeleted, TeamDescribed, TeamRenamed, TeamSuspended
from projections.entities import DELETED, KEY, LIFE, lifecycle, project_entities
from projections.reading import Connection, rows_of
from projections.tables import Cursor, Kinds, Table

NAME: Final = "teams"
STATUSES: Final[dict[type[Event], str]] = {TeamCreated: "active", TeamSuspended: "suspended", TeamActivated: "active", TeamDeleted: DELETED}
EVENTS: Final[Kinds] = (*STATUSES, TeamRenamed, TeamDescribed)

TEAMS: Final = Table("teams", key=KEY, values={"name": "text", "description": "text", **LIFE})
TABLES: Final = (TEAMS,)

FOLD: Final = lifecycle(TeamCreated, STATUSES)


def project(batch: Sequence[Recorded[Any]], cursor: Cursor) -> None:
    project_entities(TEAMS, FOLD, batch, cursor)


class Team(NamedTuple):
    id: str
    name: str
    description: str | None
    status: str
    created_at: datetime
    updated_at: datetime
    version: int


async def select(connection: Connection, org: str, team_id: str | None = None) -> list[Team]:
    """All, or one."""
    return await rows_of(connection, TEAMS, Team, org, team_id)
