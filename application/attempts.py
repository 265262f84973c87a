"""One call of a provider as an account: how far it has come, what it used, and what came of it."""

from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from application.ports import ChatCall, ProviderFailure, StreamParser, WireAnswer
from application.world import World
from domain.completion.commands import AttemptMade
from domain.completion.events import EndReason, UsageSource
from domain.price import Category

BYTES_PER_TOKEN: Final = 4

Outcome = Literal["succeeded", "refused", "failed", "unknown"]


class Client(Protocol):
    """Who waits for a stream."""

    async def send(self, data: bytes) -> None:
        """Waits while the client reads slowly; raises ConnectionError once it is gone."""
        ...


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A call of a provider, and how far it has come."""

    chat: ChatCall
    model_id: str
    include_usage: bool
    prompt_tokens_bound: int
    client: Client | None
    started_at: float
    provider: str = ""
    request_bytes: int = 0
    dropped: tuple[str, ...] = ()
    dispatched_at: float | None = None
    first_byte_at: float | None = None
    status: int | None = None
    parser: StreamParser | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of it, for the ledger and for the client: a plain answer's `body`, a `failure`, or neither after a whole stream."""

    reason: EndReason
    made: AttemptMade | None
    body: bytes | None = None
    failure: ProviderFailure | None = None
    rest: WireAnswer | None = None
    """To be closed after the settlement: the body's last bytes have come by then, so that the connection can be used again."""


@dataclass(frozen=True, slots=True)
class Used:
    usage: dict[str, int]
    source: UsageSource
    raw: dict[str, Any] | None = None


NOTHING: Final = Used({}, "none")


def seen(attempt: Attempt) -> Used:
    """As the stream reported, or else by what has come of it. A report before the end is not the whole."""
    parser = attempt.parser
    if parser is not None and parser.usage is not None:
        return Used(parser.usage, "reported" if parser.done else "estimated", parser.raw_usage)
    return Used(estimated(attempt, 0 if parser is None else parser.output_tokens_seen), "estimated")


def estimated(attempt: Attempt, output_tokens: int) -> dict[str, int]:
    prompt_tokens = min(-(-attempt.request_bytes // BYTES_PER_TOKEN), attempt.prompt_tokens_bound)
    return {Category.INPUT: prompt_tokens, Category.OUTPUT: output_tokens}


def left_behind(attempt: Attempt) -> Used:
    """By an answer that broke off."""
    return seen(attempt) if attempt.parser is not None and attempt.first_byte_at is not None else charged(attempt)


def charged(attempt: Attempt) -> Used:
    """Sent, and nobody knows what came of it: the whole prompt bound is paid."""
    return Used({Category.INPUT: attempt.prompt_tokens_bound}, "estimated")


def made(world: World, attempt: Attempt, outcome: Outcome, used: Used = NOTHING, *, error_code: str | None = None) -> AttemptMade:
    sent_at = attempt.started_at if attempt.dispatched_at is None else attempt.dispatched_at
    return AttemptMade(
        model_id=attempt.model_id,
        provider=attempt.provider,
        outcome=outcome,
        status=attempt.status,
        error_code=error_code,
        first_byte_ms=None if attempt.first_byte_at is None else _ms(attempt.first_byte_at - sent_at),
        latency_ms=_ms(world.clock.monotonic() - sent_at),
        usage=used.usage,
        usage_source=used.source,
        raw_usage=used.raw,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
