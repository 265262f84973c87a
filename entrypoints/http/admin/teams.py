"""/admin/teams"""

from typing import Final

from application.world import World
from domain.ids import ORG_DEFAULT
from domain.team.commands import ActivateTeam, ChangeTeam, CreateTeam, DeleteTeam, SuspendTeam
from domain.team.team import Status, Team, decider
from entrypoints.http.routing import Resource, all_of, command, deleted, one_of, query
from entrypoints.http.wire import Row
from projections import teams


def row(_world: World, team_id: str, team: Team | teams.Team) -> Row:
    return {
        "id": team_id,
        "name": team.name,
        "description": team.description,
        "status": team.status,
        "created_at": team.created_at,
        "updated_at": team.updated_at,
    }


TEAM: Final = Resource[Team](
    plural="teams",
    noun="team",
    decider=decider,
    row=row,
    exists=lambda team: team.status is not Status.DELETED,
    select=lambda _world, connection, team_id: teams.select(connection, ORG_DEFAULT, team_id),
)

ROUTES: Final = (
    query("/admin/teams", all_of(TEAM), teams),
    query("/admin/teams/{team_id}", one_of(TEAM), teams),
    command("POST", "/admin/teams", CreateTeam, TEAM),
    command("PUT", "/admin/teams/{team_id}", ChangeTeam, TEAM),
    command("DELETE", "/admin/teams/{team_id}", DeleteTeam, TEAM, show=deleted),
    command("POST", "/admin/teams/{team_id}/suspend", SuspendTeam, TEAM),
    command("POST", "/admin/teams/{team_id}/activate", ActivateTeam, TEAM),
)
