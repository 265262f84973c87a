"""What can happen to a completion. Stored: add fields with defaults, never rename or remove.

Wide on purpose: what is missing here is missing from all history. Contents of messages and answers, and whatever identifies a
person, never stand here.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.ids import ApiKeyId, BudgetId, ModelId, ProcessId, TeamId
from domain.kernel import Event, Value
from domain.price import CostLine

UsageSource = Literal["reported", "estimated", "none"]


class EndReason(StrEnum):
    """Why a completion ended."""

    COMPLETED = "completed"
    PROVIDER_ERROR = "provider_error"
    """The provider refused or failed before any answer."""
    CUT = "cut"
    """The provider's answer broke off."""
    CLIENT_GONE = "client_gone"
    TIMED_OUT = "timed_out"
    NOT_SENT = "not_sent"
    """No provider was called."""
    RECOVERED = "recovered"
    """Its process died; settled by another."""


class RouteStep(Value):
    """A model that the call may be sent to, and what it was at admission."""

    model_id: ModelId
    model_version: int
    price_id: str | None
    """None: the price was unknown."""


class Hold(Value):
    """Money set aside on one budget: on this generation and this period of it, whatever comes later."""

    budget_id: BudgetId
    generation: int
    period_start: datetime
    nanos: int
    model_ids: tuple[ModelId, ...] = ()
    """The models of the route whose attempts it pays for; none named: all. As the budget's scope was at admission."""


class HoldOutcome(Value):
    """What a hold became. `spent_nanos` may exceed the hold: the overrun is recorded in full."""

    budget_id: BudgetId
    generation: int
    period_start: datetime
    spent_nanos: int


class HoldCorrection(HoldOutcome):
    """What a hold became in the end, and by how much that moves its budget."""

    moved_nanos: int


class Attempt(Value):
    """One call of a provider within a completion."""

    model_id: ModelId
    provider: str
    outcome: Literal["succeeded", "refused", "failed", "unknown"]
    """`refused`, `failed`: the provider answered with an error, which costs nothing. `unknown`: sent, and no answer came."""
    status: int | None = None
    """The provider's HTTP status."""
    error_code: str | None = None
    first_byte_ms: int | None = None
    latency_ms: int = 0
    usage: dict[str, int] = {}
    """By category of `domain.price.Category`."""
    usage_source: UsageSource = "none"
    raw_usage: dict[str, Any] | None = None
    """As the provider reported it, verbatim."""
    price_id: str | None = None
    cost_nanos: int | None = None
    """None: the price is unknown."""
    cost_lines: tuple[CostLine, ...] = ()


class CompletionAdmitted(Event):
    topic: ClassVar[str] = "completion.admitted.v1"

    owner: ProcessId
    kind: Literal["chat", "text", "embedding", "message", "response"] = "chat"
    api_key_id: ApiKeyId
    team_id: TeamId
    model_id: str
    """As the client named it: a model or, later, a chain."""
    user_id: str | None = None
    end_user: str | None = None
    """A random reference; what the client sent is a forgettable payload."""
    tags: dict[str, str] = {}
    stream: bool = False
    prompt_tokens_bound: int
    image_count: int = 0
    output_cap: int
    """Tokens for one choice; what is sent upstream."""
    output_cap_chosen: bool = False
    """True where the gateway chose the cap, not the client."""
    choices: int = Field(1, ge=1)
    rate_weight_requests: int = 1
    rate_weight_tokens: int = 0
    """What counts against the key's tokens per minute until settlement says what was used; 0: the key had no such limit."""
    route: tuple[RouteStep, ...]
    holds: tuple[Hold, ...] = ()
    chain_id: str | None = None
    chain_version: int | None = None
    prompt_id: str | None = None
    prompt_version: int | None = None
    experiment_id: str | None = None
    variant_id: str | None = None
    idempotency_key: str | None = None
    """An HMAC, hexadecimal."""
    request_digest: str | None = None
    """An HMAC of the request's body, hexadecimal."""


class CompletionHoldRaised(Event):
    """A retry needs more than was held: these are the additions."""

    topic: ClassVar[str] = "completion.hold_raised.v1"

    holds: tuple[Hold, ...]


class CompletionProgressed(Event):
    topic: ClassVar[str] = "completion.progressed.v1"

    output_tokens: int
    """So far, of all choices."""


class CompletionSettled(Event):
    topic: ClassVar[str] = "completion.settled.v1"

    end_reason: EndReason
    cost_nanos: int | None
    """None: the price is unknown."""
    usage_source: UsageSource
    attempts: tuple[Attempt, ...] = ()
    holds: tuple[HoldOutcome, ...] = ()
    overrun_nanos: int = 0
    """What the cost exceeds the hold by, on the budget where it does most."""
    recovered: bool = False
    latency_ms: int = 0
    """From admission to the end of the answer."""
    overhead_ms: float | None = None
    """From the request's receipt to its dispatch."""


class CompletionCorrected(Event):
    """A settlement that came after recovery's, or a provider's late word: the budgets move by the difference."""

    topic: ClassVar[str] = "completion.corrected.v1"

    end_reason: EndReason
    cost_nanos: int | None
    usage_source: UsageSource
    attempts: tuple[Attempt, ...] = ()
    holds: tuple[HoldCorrection, ...] = ()


class CompletionReadmitted(Event):
    """After the log was rewound: an open completion whose admission was lost is entered again, exempt from limits."""

    topic: ClassVar[str] = "completion.readmitted.v1"

    lost_position: int
    admitted: CompletionAdmitted
