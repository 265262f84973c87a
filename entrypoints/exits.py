"""From what ends a command to its exit code."""

import asyncio
import sys
from typing import NoReturn

from entrypoints.commands import app, err
from entrypoints.problems import FAILED, INTERRUPTED, explanation


def run() -> NoReturn:
    try:
        app()
    except asyncio.CancelledError:
        sys.exit(INTERRUPTED)
    except Exception as error:
        reason = explanation(error)
        if reason is None:
            raise
        err.print(reason, style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(FAILED)
    sys.exit()
