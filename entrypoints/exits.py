"""From what ends a command to its exit code."""

import asyncio
import sys
from typing import Final, NoReturn

import psycopg

from domain.errors import Refusal
from entrypoints.commands import app, err
from entrypoints.problems import Problem
from infra.embedded import AlreadyRunning, EmbeddedServerError
from infra.local_model import LocalModelUnavailable
from infra.postgres import MigrationRefused, UnsuitableServer
from infra.settings import InvalidSettings

FAILED: Final = 1
INTERRUPTED: Final = 130
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
"""What goes wrong for a reason that its message tells: a stack trace would only hide it."""


def run() -> NoReturn:
    try:
        app()
    except EXPLAINED as problem:
        _fail(str(problem))
    except psycopg.OperationalError as problem:
        _fail(f"The database can't be reached: {problem}")
    except asyncio.CancelledError:
        sys.exit(INTERRUPTED)
    sys.exit()


def _fail(message: str) -> NoReturn:
    err.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(FAILED)
