"""What keeps a command from being done, each for a reason that its message tells: a stack trace would only hide it."""


class Problem(Exception):  # noqa: N818 (they read as what is the case)
    """It can't be done."""


class NoLog(Problem):
    """There is no log yet."""


class PortTaken(Problem):
    """The address can't be listened on."""


class DemoFailed(Problem):
    """The demo did not show what it promises."""
