"""What can be asked of a completion."""

from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from domain.completion.events import CompletionAdmitted, EndReason, UsageSource
from domain.ids import ApiKeyId, CompletionId, ModelId, ProcessId
from domain.kernel import Command, Sought, Value
from domain.references import END_USER

CHOICES_MAX: Final = 128
OUTPUT_CAP_MAX: Final = 10_000_000
PROMPT_TOKENS_MAX: Final = 1_000_000_000
"""Above any model and any body that is taken in, and money stays inside 64 bits."""


class AdmitCompletion(Command):
    """May this call be sent? Decided with every limit that applies, in one batch."""

    opens: ClassVar[bool] = True

    completion_id: CompletionId
    owner: ProcessId
    kind: Literal["chat", "text", "embedding", "message", "response"] = "chat"
    api_key_id: ApiKeyId
    model_id: str
    route: tuple[ModelId, ...] = Field(min_length=1)
    """The models that the call may be sent to, in order."""
    prompt_text_tokens_bound: int = Field(ge=0, le=PROMPT_TOKENS_MAX)
    """An upper bound of the prompt's tokens, images not counted."""
    image_count: int = Field(0, ge=0, le=PROMPT_TOKENS_MAX)
    choices: int = Field(1, ge=1, le=CHOICES_MAX)
    output_cap: int | None = Field(None, ge=1, le=OUTPUT_CAP_MAX)
    """What the client asked for; None: the decider chooses."""
    stream: bool = False
    end_user: str | None = None
    """The reference of a person who has none yet."""
    end_user_hmac: str | None = None
    """What a person is found by: the batch knows whether they have a reference already."""
    tags: dict[str, str] = {}
    idempotency_key: str | None = None
    request_digest: str | None = None

    @property
    def seeks(self) -> Sought | None:
        return None if self.end_user_hmac is None else Sought(END_USER, self.end_user_hmac)


class AttemptMade(Value):
    """One call of a provider, as it went; its price and cost are the decider's to say."""

    model_id: ModelId
    provider: str
    outcome: Literal["succeeded", "refused", "failed", "unknown"]
    status: int | None = None
    error_code: str | None = None
    first_byte_ms: int | None = None
    latency_ms: int = 0
    usage: dict[str, int] = {}
    usage_source: UsageSource = "none"
    raw_usage: dict[str, Any] | None = None


class SettleCompletion(Command):
    """This is how it went. Never refused; the second time it says nothing, unless recovery was first."""

    completion_id: CompletionId
    end_reason: EndReason
    attempts: tuple[AttemptMade, ...] = ()
    latency_ms: int = 0
    overhead_ms: float | None = None


class RecoverCompletion(Command):
    """Its owner is dead: settle it as `design.md` §6.7 says."""

    completion_id: CompletionId


class ReadmitCompletion(Command):
    """The log lost this admission, and the call is under way: enter it again, whatever the limits say now."""

    completion_id: CompletionId
    lost_position: int = Field(ge=1)
    """The furthest position that its process had folded before the log was rewound."""
    admitted: CompletionAdmitted


class ReportProgress(Command):
    """A long stream has come this far."""

    completion_id: CompletionId
    output_tokens: int = Field(ge=0)


class RaiseHold(Command):
    """A failed attempt may be billed: hold what it is charged, beside what the next one may cost."""

    completion_id: CompletionId
