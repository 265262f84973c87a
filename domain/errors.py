"""Refusals: the few ways in which a rule says no. One HTTP status each; the docstring is the default message."""

from datetime import timedelta


class Refusal(Exception):  # noqa: N818 (a refusal is an answer, not an error of ours)
    """The request was refused."""

    code: str | None = None

    def __init__(self, message: str | None = None, *, param: str | None = None, code: str | None = None) -> None:
        self.message = message or self.__doc__ or ""
        self.param = param
        self.code = code or type(self).code
        super().__init__(self.message)


class Invalid(Refusal):
    """The request is not valid."""


class Unauthenticated(Refusal):
    """Incorrect API key provided."""

    code = "invalid_api_key"


class Forbidden(Refusal):
    """This key does not have the permission that the request needs."""


class NotFound(Refusal):
    """There is no such thing."""


class Conflict(Refusal):
    """The request conflicts with the present state."""


class VersionMismatch(Refusal):
    """The thing changed since the version that the request names."""


class BudgetExceeded(Refusal):
    """A budget does not have enough left for this request."""

    code = "insufficient_quota"

    def __init__(self, message: str | None = None, *, budget_id: str) -> None:
        super().__init__(message)
        self.budget_id = budget_id


class RateLimited(Refusal):
    """A rate limit of this key is reached."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str | None = None, *, limit: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after = retry_after


class Unavailable(Refusal):
    """The gateway can't decide this now. Try again shortly."""

    def __init__(self, message: str | None = None, *, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreadable(Unavailable):
    """A newer release of the gateway changed it in a way that this process can't read. Try again shortly."""


class Unconfirmed(Unavailable):
    """The log can't be reached, and whether this was recorded is not known yet. Look before trying again."""
