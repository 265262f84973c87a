"""What can be asked of a team."""

from domain.ids import TeamId
from domain.kernel import Command
from domain.text import Description, Name


class CreateTeam(Command):
    team_id: TeamId
    name: Name
    description: Description | None = None


class ChangeTeam(Command):
    """What is None stays as it is."""

    team_id: TeamId
    name: Name | None = None
    description: Description | None = None


class SuspendTeam(Command):
    team_id: TeamId


class ActivateTeam(Command):
    team_id: TeamId


class DeleteTeam(Command):
    team_id: TeamId
