"""What keeps a command from being done, each for a reason that its message tells: a stack trace would only hide it."""

from typing import Final

import psycopg

from domain.errors import Refusal
from infra.embedded import AlreadyRunning, EmbeddedServerError
from infra.local_model import LocalModelUnavailable
from infra.postgres import MigrationRefused, UnsuitableServer
from infra.settings import InvalidSettings

FAILED: Final = 1
INTERRUPTED: Final = 130
"""Exit codes."""


class Problem(Exception):  # noqa: N818 (they read as what is the case)
    """It can't be done."""


class NoLog(Problem):
    """There is no log yet."""


class PortTaken(Problem):
    """The address can't be listened on."""


class StartFailed(Problem):
    """A process does not start, however often it is tried."""


class DemoFailed(Problem):
    """The demo did not show what it promises."""


EXPLAINED: Final = (
    AlreadyRunning,
    EmbeddedServerError,
    InvalidSettings,
    LocalModelUnavailable,
    MigrationRefused,
    Problem,
    Refusal,
    UnsuitableServer,
)


def explanation(error: Exception) -> str | None:
    """For people; None: only a stack trace tells."""
    match error:
        case psycopg.OperationalError():
            return f"The database can't be reached: {error}"
        case _ if isinstance(error, EXPLAINED):
            return str(error)
    return None
