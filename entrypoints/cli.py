"""`gateway`: runs a command, and turns what goes wrong into a sentence and an exit code, never into a stack trace.

0: done. 1: it can't be, or verification found something. 2: wrong usage. 130: interrupted.
"""

import signal


def main() -> None:
    # While the rest is imported, Ctrl-C ends the process as if it were not Python's.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from entrypoints.exits import run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
