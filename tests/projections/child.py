"""A process of its own that projects, or replays, until it is killed: `python -m tests.projections.child project|replay URL`."""

import os
import sys
import time
from threading import Event

from adapters.projecting import advancing, projector, replaying
from adapters.projecting.projector import Projector
from projections import READ_MODELS

ROWS: int = 20
PAUSE_S = 0.02


def main(what: str, url: str) -> None:
    """In small steps, so that there is a middle in which to be killed."""
    if what == "project":
        vars(projector).update(LIVE_MAX=ROWS, CATCH_UP_MAX=ROWS, PACE_S=PAUSE_S)
        Projector(url, READ_MODELS).run(Event())
    else:
        vars(advancing).update(PAGE_ROWS=ROWS)
        replaying.replay(url, READ_MODELS, told)


def told(position: int, _head: int) -> None:
    os.write(1, f"{position}\n".encode())
    time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
