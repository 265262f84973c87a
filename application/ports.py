"""The ports: what the application asks of the world. Adapters implement them; there are no in-memory twins."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from domain.credential.events import SecretSource
from domain.kernel import Command, Recorded, Sought
from domain.price import Rates
from domain.state import View


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Asked twice under one key, done once. Both are HMACs: `key` of the client's key, `digest` of the request."""

    key: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Committed:
    """What a command came to: its events (none: nothing changed), its entity's state after them, and the log's position."""

    events: Sequence[Recorded[Any]]
    state: Any
    """None for a run that has ended, which leaves the memory."""
    position: int
    version: int
    """Of the stream, after the events."""
    repeated: bool = False
    """True where an earlier request with this idempotency key did it."""


class Log(Protocol):
    """The one totally ordered log. Its lock is the consistency boundary of the whole system."""

    @property
    def view(self) -> View:
        """The resident state: exact inside a batch, milliseconds old here."""
        ...

    async def submit(
        self,
        command: Command,
        *,
        by: str,
        correlation_id: str,
        causation_id: str | None = None,
        expected_version: int | None = None,
        idempotency: Idempotency | None = None,
        then: Command | None = None,
    ) -> Committed:
        """Decide and record, durably. Raises the decider's Refusal, or Unavailable while the log can't be reached.

        Only where it is Unconfirmed, and after a cancellation, may it have been recorded all the same.
        `then`, whose stream needs no loading, is decided right after it in the same batch, if it is recorded now; nobody is told what
        becomes of that.
        """
        ...

    def time(self) -> datetime:
        """At least what a decision made now is dated: the database's clock as it was last read, and the time since."""
        ...

    async def catch_up(self) -> None:
        """Fold whatever others have appended. All who wait share one read; at most 50 a second. Before a 'no' is given."""
        ...

    def ready(self) -> str | None:
        """None, or why this process must not decide now."""
        ...


class Watch(Protocol):
    """Looks at the locks by which processes show that they live."""

    async def held_locks(self) -> frozenset[int] | None:
        """The keys of all that are held now. None: nothing can be said, and what was seen before says nothing any more."""
        ...

    async def aclose(self) -> None:
        """Stop watching, so that another process may, until the next look."""
        ...


class StoredEvent(NamedTuple):
    """An event as the log has it, for people."""

    position: int
    stream: str
    version: int
    topic: str
    at: datetime
    org: str
    by: str
    correlation_id: str
    causation_id: str | None
    data: bytes
    """JSON, the defaults that aren't stored filled in."""
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are asked for: those that meet all that is said. Ascending by position."""

    stream: str | None = None
    category: str | None = None
    topic: str | None = None
    by: str | None = None
    correlation_id: str | None = None
    since: datetime | None = None
    """At this moment or later."""
    until: datetime | None = None
    """Before this moment."""
    after: int = 0
    limit: int


class EventReader(Protocol):
    """Questions to the log that no resident state answers."""

    async def page(self, wanted: EventFilter) -> Sequence[StoredEvent]:
        """At most `wanted.limit` events. Raises Unavailable when it takes too long or the log can't be reached."""
        ...

    async def reference(self, sought: Sought) -> str | None:
        """Of the forgettable payload that is found by this; None: there is none. Raises Unavailable."""
        ...


class PriceBook(Protocol):
    """What providers charge, as published."""

    async def rates(self, provider: str, provider_model: str, at: datetime) -> Rates | None:
        """In force at `at`; None: unknown, which is never free."""
        ...


class Clock(Protocol):
    """Time and randomness of this process. Event time is the log's."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    def uuid7(self) -> UUID: ...


class Secrets(Protocol):
    """Where secrets are."""

    async def reveal(self, source: SecretSource) -> str:
        """Raises Unavailable when it isn't there; never says a secret in an error."""
        ...


@dataclass(frozen=True, slots=True)
class WireRequest:
    """An HTTP request to a provider. `headers` hold its secret: never log them."""

    url: str
    headers: dict[str, str]
    body: bytes
    signed: bool = False
    """A signature covers the address: it is sent exactly as it is written."""
    dropped: tuple[str, ...] = ()
    """The client's parameters that are left out of it: the client is told."""


class WireAnswer(Protocol):
    """A provider's HTTP answer, its head read, its body coming."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamBroken when it is cut or longer than `limit` bytes."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, cut anywhere. Raises UpstreamBroken when the connection breaks."""
        ...

    async def close(self) -> None:
        """Cancel what hasn't come yet."""
        ...


class UpstreamBroken(Exception):  # noqa: N818
    """The connection to the provider failed. `sent`: whether the request may have reached it."""

    def __init__(self, reason: str, *, sent: bool, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.sent = sent
        self.timed_out = timed_out


class Transport(Protocol):
    """All network work towards providers."""

    async def post(self, request: WireRequest, *, silence_max: timedelta | None = None) -> WireAnswer:
        """Returns at the answer's head; raises UpstreamBroken. `silence_max` holds before the head and within the body."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """A provider's error, in OpenAI's words, safe to show to a client."""

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer: OpenAI's chat completion as JSON bytes, and what it used."""

    body: bytes
    usage: dict[str, int] | None
    """As reported, by category; None: not reported."""
    raw_usage: dict[str, Any] | None
    output_tokens_seen: int
    """Counted from the answer, for when no usage is reported."""


class StreamParser(Protocol):
    """Reads one provider stream from bytes cut anywhere. Pure."""

    usage: dict[str, int] | None
    """As reported so far, by category."""
    raw_usage: dict[str, Any] | None
    output_tokens_seen: int
    """Counted from what has come, for when no usage is reported."""
    content_begun: bool
    """Whether any of the answer itself has come."""
    done: bool
    """Whether the stream came to its proper end."""
    failure: ProviderFailure | None
    """An error that the provider reported in the stream."""

    def feed(self, data: bytes) -> bytes:
        """What the client shall be sent for it, as OpenAI server-sent events; may be empty. Never the final `[DONE]`.

        Never raises: what can't be read becomes `failure`.
        """
        ...

    def end(self) -> bytes:
        """The body ended in good order: like `feed` for what was left, and `done` says whether the stream was whole."""
        ...


class Provider(Protocol):
    """A pure translator between OpenAI's chat completions and one provider's API."""

    def request(self, chat: "ChatCall", target: "Target") -> WireRequest:
        """Raises Invalid, naming the parameter, for what the provider can't do."""
        ...

    def answer(self, body: bytes, target: "Target") -> Answered:
        """Raises ValueError for what is no answer."""
        ...

    def failure(self, status: int, headers: dict[str, str], body: bytes) -> ProviderFailure: ...

    def stream(self, target: "Target", *, include_usage: bool) -> StreamParser: ...


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A chat completion as the client asked for it (OpenAI's JSON, unknown fields included) and the cap the ledger decided."""

    body: dict[str, Any]
    output_cap: int
    stream: bool


@dataclass(frozen=True, slots=True)
class Target:
    """Where one call goes: a model as published, its credential opened."""

    model_id: str
    """As the client named it; answers carry it."""
    provider_model: str
    endpoint: str | None
    secret: str
    defaults: dict[str, Any]
    """Parameters that apply where the request leaves them unsaid."""
    deployment: str | None = None
    """What the provider calls the model where one credential is for one deployment."""
    drop_unsupported: bool = False
    """Parameters that the provider can't honour are left out, instead of refused."""
    created: int = 0
    """When, in Unix seconds: for answers that come without a time."""
    legacy_functions: bool = False
    """The request speaks of functions, OpenAI's older word for tools; so shall the answer."""
