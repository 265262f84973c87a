"""One example of each event and each command: a test says only what it is about, as in `team_created(name="Sales")`.

Examples say every field that their plainest case has. The samples in `tests/contract/events/` were written from them, and stay as they are.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from domain.api_key import commands as api_key_commands
from domain.api_key import events as api_key
from domain.budget import commands as budget_commands
from domain.budget import events as budget
from domain.completion import commands as completion_commands
from domain.completion import events as completion
from domain.credential import commands as credential_commands
from domain.credential import events as credential
from domain.end_user import commands as end_user_commands
from domain.end_user import events as end_user
from domain.ids import ApiKeyId, BudgetId, CompletionId, CredentialId, EndUserId, ModelId, ProcessId, RefusalId, Slug, TeamId
from domain.kernel import Command, Event
from domain.model import commands as model_commands
from domain.model import events as model
from domain.price import Category, CostLine, Price, Tier
from domain.process import commands as process_commands
from domain.process import events as process
from domain.refusal import commands as refusal_commands
from domain.refusal import events as refusal
from domain.rewind import commands as rewind_commands
from domain.rewind import events as rewind
from domain.team import commands as team_commands
from domain.team import events as team
from domain.time import Period
from domain.usage import commands as usage_commands
from domain.usage import events as usage

M = TypeVar("M", bound=BaseModel)

COMPLETION_ID: Final = CompletionId("01981a2b-0000-7000-8000-000000000001")
PROCESS_ID: Final = ProcessId("01981a2b-0000-7000-8000-00000000000a")
TEAM_ID: Final = TeamId("research")
API_KEY_ID: Final = ApiKeyId("notebook")
CREDENTIAL_ID: Final = CredentialId("openai-default")
MODEL_ID: Final = ModelId("gpt-4o")
BUDGET_ID: Final = BudgetId("research-daily")
TODAY: Final = datetime(2026, 3, 4, tzinfo=UTC)
NEXT_YEAR: Final = datetime(2027, 1, 1, tzinfo=UTC)
USD: Final = 1_000_000_000

EVENTS: Final[dict[type[Event], Callable[..., Any]]] = {}
COMMANDS: Final[dict[type[Command], Callable[..., Any]]] = {}


def example(kind: type[M], /, **usual: Any) -> Callable[..., M]:
    def build(**changes: Any) -> M:
        return kind(**(usual | changes))

    if issubclass(kind, Event):
        EVENTS[kind] = build
    elif issubclass(kind, Command):
        COMMANDS[kind] = build
    return build


team_created = example(team.TeamCreated, name="Research", description="Asks the large questions")
team_renamed = example(team.TeamRenamed, name="Basic research")
team_described = example(team.TeamDescribed, description="Asks the small questions")
team_suspended = example(team.TeamSuspended)
team_activated = example(team.TeamActivated)
team_deleted = example(team.TeamDeleted)

create_team = example(team_commands.CreateTeam, team_id=TEAM_ID, name="Research", description="Asks the large questions")
change_team = example(team_commands.ChangeTeam, team_id=TEAM_ID)
suspend_team = example(team_commands.SuspendTeam, team_id=TEAM_ID)
activate_team = example(team_commands.ActivateTeam, team_id=TEAM_ID)
delete_team = example(team_commands.DeleteTeam, team_id=TEAM_ID)


permissions = example(
    api_key.Permissions, admin=False, models=api_key.Specific(specific=frozenset({MODEL_ID})), knowledge_bases="none", prompts="all"
)
rate_limits = example(
    api_key.RateLimits,
    requests_per_minute=60,
    requests_per_hour=1_000,
    requests_per_day=10_000,
    tokens_per_minute=100_000,
    parallel_requests=10,
)
_KEY: Final[dict[str, Any]] = {
    "name": "Notebook",
    "team_id": TEAM_ID,
    "key_prefix": "pk_test_Zm9vYmFy",
    "secret_sha256": "3f" * 32,
    "permissions": permissions(),
    "rate_limits": rate_limits(),
    "description": "Of the shared notebook server",
    "expires_at": NEXT_YEAR,
    "tags": {"cost-centre": "4711"},
}
api_key_issued = example(api_key.ApiKeyIssued, **_KEY)
api_key_permissions_changed = example(api_key.ApiKeyPermissionsChanged, permissions=permissions(models="all"))
api_key_rate_limits_changed = example(api_key.ApiKeyRateLimitsChanged, rate_limits=rate_limits(parallel_requests=2))
api_key_expiry_changed = example(api_key.ApiKeyExpiryChanged, expires_at=NEXT_YEAR)
api_key_described = example(api_key.ApiKeyDescribed, name="Notebooks", description="Of both servers", tags={"cost-centre": "4712"})
api_key_suspended = example(api_key.ApiKeySuspended)
api_key_activated = example(api_key.ApiKeyActivated)
api_key_revoked = example(api_key.ApiKeyRevoked)
api_key_deleted = example(api_key.ApiKeyDeleted)

issue_api_key = example(api_key_commands.IssueApiKey, api_key_id=API_KEY_ID, **_KEY)
change_api_key = example(api_key_commands.ChangeApiKey, api_key_id=API_KEY_ID)
suspend_api_key = example(api_key_commands.SuspendApiKey, api_key_id=API_KEY_ID)
activate_api_key = example(api_key_commands.ActivateApiKey, api_key_id=API_KEY_ID)
revoke_api_key = example(api_key_commands.RevokeApiKey, api_key_id=API_KEY_ID)
delete_api_key = example(api_key_commands.DeleteApiKey, api_key_id=API_KEY_ID)


secret_source = example(credential.SecretSource, source="environment", name="OPENAI_API_KEY")
_CREDENTIAL: Final[dict[str, Any]] = {
    "name": "OpenAI",
    "credential_type": "openai",
    "secret": secret_source(),
    "endpoint": "https://api.example.com/v1",
    "deployment": "europe",
    "header_value": "Token ${api-key}",
}
credential_added = example(credential.CredentialAdded, **_CREDENTIAL)
credential_renamed = example(credential.CredentialRenamed, name="OpenAI, Europe")
credential_secret_changed = example(credential.CredentialSecretChanged, secret=secret_source(name="OPENAI_API_KEY_2"))
credential_endpoint_changed = example(
    credential.CredentialEndpointChanged, endpoint="https://eu.api.example.com", deployment="west", header_value="Key ${api-key}"
)
credential_disabled = example(credential.CredentialDisabled)
credential_enabled = example(credential.CredentialEnabled)
credential_deleted = example(credential.CredentialDeleted)

add_credential = example(credential_commands.AddCredential, credential_id=CREDENTIAL_ID, **_CREDENTIAL)
change_credential = example(credential_commands.ChangeCredential, credential_id=CREDENTIAL_ID)
delete_credential = example(credential_commands.DeleteCredential, credential_id=CREDENTIAL_ID)


model_config = example(
    model.ModelConfig,
    temperature=0.7,
    max_tokens=1_024,
    top_p=0.9,
    presence_penalty=0.1,
    frequency_penalty=-0.1,
    timeout_ms=60_000,
    max_retries=2,
    retry_delay_ms=500,
    fallback_model_id=ModelId("gpt-4o-mini"),
)
model_content = example(
    model.ModelContent,
    name="GPT-4o",
    provider="openai",
    provider_model="gpt-4o-2024-11-20",
    credential_id=CREDENTIAL_ID,
    enabled=True,
    config=model_config(),
    max_output_tokens=16_384,
    image_tokens_max=1_024,
)
RATES: Final = {
    Category.INPUT: (Tier(nanos_per_million=2_500_000_000), Tier(nanos_per_million=5_000_000_000, above_prompt_tokens=200_001)),
    Category.CACHED_INPUT: (Tier(nanos_per_million=1_250_000_000),),
    Category.OUTPUT: (Tier(nanos_per_million=10_000_000_000),),
}
price = example(Price, price_id=f"{MODEL_ID}.1", source="given", rates=RATES, effective_from=TODAY)
model_published = example(model.ModelPublished, version=1, content=model_content())
model_priced = example(model.ModelPriced, price=price())
model_retired = example(model.ModelRetired)

publish_model = example(model_commands.PublishModel, model_id=MODEL_ID, content=model_content())
revise_model = example(model_commands.ReviseModel, model_id=MODEL_ID)
price_model = example(model_commands.PriceModel, model_id=MODEL_ID, source="given", rates=RATES)
retire_model = example(model_commands.RetireModel, model_id=MODEL_ID)


_SCOPE: Final[dict[str, Any]] = {"api_key_ids": {API_KEY_ID}, "team_ids": {TEAM_ID}, "model_ids": {MODEL_ID}}
_BUDGET: Final[dict[str, Any]] = {
    "name": "Research, per day",
    "period": Period.DAILY,
    "hard_limit_nanos": 10 * USD,
    "description": "What a day of research may cost",
    "soft_limit_nanos": 8 * USD,
    "at_limit": budget.AtLimit.REJECT,
    "time_zone": "Europe/Berlin",
    "starting_spend_nanos": 1 * USD,
    "alert_thresholds": (50, 80, 100),
}
budget_opened = example(budget.BudgetOpened, generation=1, scope=budget.Scope(**_SCOPE), **_BUDGET)
budget_described = example(budget.BudgetDescribed, name="Research", description="By the day")
budget_limit_changed = example(budget.BudgetLimitChanged, hard_limit_nanos=20 * USD, soft_limit_nanos=15 * USD)
budget_scope_changed = example(budget.BudgetScopeChanged, scope=budget.Scope(team_ids=frozenset({TEAM_ID})))
budget_alerts_changed = example(budget.BudgetAlertsChanged, alert_thresholds=(90,))
budget_at_limit_changed = example(budget.BudgetAtLimitChanged, at_limit=budget.AtLimit.CLAMP)
budget_disabled = example(budget.BudgetDisabled)
budget_enabled = example(budget.BudgetEnabled)
budget_reset = example(budget.BudgetReset, generation=2)
budget_closed = example(budget.BudgetClosed)

open_budget = example(budget_commands.OpenBudget, budget_id=BUDGET_ID, **_SCOPE, **_BUDGET)
change_budget = example(budget_commands.ChangeBudget, budget_id=BUDGET_ID)
reset_budget = example(budget_commands.ResetBudget, budget_id=BUDGET_ID)
close_budget = example(budget_commands.CloseBudget, budget_id=BUDGET_ID)


route_step = example(completion.RouteStep, model_id=MODEL_ID, model_version=1, price_id=f"{MODEL_ID}.1")
_ACCOUNT: Final[dict[str, Any]] = {"budget_id": BUDGET_ID, "generation": 1, "period_start": TODAY}
hold = example(completion.Hold, **_ACCOUNT, nanos=12_500_000, model_ids=(MODEL_ID,))
hold_outcome = example(completion.HoldOutcome, **_ACCOUNT, spent_nanos=7_750_000)
hold_correction = example(completion.HoldCorrection, **_ACCOUNT, spent_nanos=7_750_000, moved_nanos=-4_750_000)
_USAGE: Final = {"input": 1_000, "output": 525}
cost_line = example(CostLine, category=Category.INPUT, quantity=1_000, nanos_per_million=2_500_000_000)
_CALL: Final[dict[str, Any]] = {
    "model_id": MODEL_ID,
    "provider": "openai",
    "outcome": "succeeded",
    "status": 200,
    "first_byte_ms": 210,
    "latency_ms": 1_900,
    "usage": _USAGE,
    "usage_source": "reported",
    "raw_usage": {"prompt_tokens": 1_000, "completion_tokens": 525, "prompt_tokens_details": {"cached_tokens": 0}},
}
attempt = example(
    completion.Attempt,
    **_CALL,
    price_id=f"{MODEL_ID}.1",
    cost_nanos=7_750_000,
    cost_lines=(cost_line(), cost_line(category=Category.OUTPUT, quantity=525, nanos_per_million=10_000_000_000)),
)
attempt_made = example(completion_commands.AttemptMade, **_CALL)
_ENDED: Final[dict[str, Any]] = {
    "end_reason": completion.EndReason.COMPLETED,
    "cost_nanos": 7_750_000,
    "usage_source": "reported",
    "attempts": (attempt(),),
}
completion_admitted = example(
    completion.CompletionAdmitted,
    owner=PROCESS_ID,
    kind="chat",
    api_key_id=API_KEY_ID,
    team_id=TEAM_ID,
    model_id=MODEL_ID,
    user_id="ada",
    end_user="01981a2b-0000-7000-8000-0000000000ee",
    tags={"feature": "search"},
    stream=True,
    prompt_tokens_bound=1_000,
    image_count=0,
    output_cap=1_000,
    output_cap_chosen=True,
    choices=1,
    rate_weight_requests=1,
    rate_weight_tokens=2_000,
    route=(route_step(),),
    holds=(hold(),),
    idempotency_key="9a" * 32,
    request_digest="7c" * 32,
)
completion_hold_raised = example(completion.CompletionHoldRaised, holds=(hold(),))
completion_progressed = example(completion.CompletionProgressed, output_tokens=400)
completion_settled = example(
    completion.CompletionSettled, **_ENDED, holds=(hold_outcome(),), overrun_nanos=0, recovered=False, latency_ms=2_000, overhead_ms=1.5
)
completion_corrected = example(completion.CompletionCorrected, **_ENDED, holds=(hold_correction(),))
completion_readmitted = example(completion.CompletionReadmitted, lost_position=4_711, admitted=completion_admitted())

admit_completion = example(
    completion_commands.AdmitCompletion,
    completion_id=COMPLETION_ID,
    owner=PROCESS_ID,
    api_key_id=API_KEY_ID,
    model_id=MODEL_ID,
    route=(MODEL_ID,),
    prompt_text_tokens_bound=1_000,
)
settle_completion = example(
    completion_commands.SettleCompletion,
    completion_id=COMPLETION_ID,
    end_reason=completion.EndReason.COMPLETED,
    attempts=(attempt_made(),),
    latency_ms=2_000,
    overhead_ms=1.5,
)
recover_completion = example(completion_commands.RecoverCompletion, completion_id=COMPLETION_ID)
readmit_completion = example(
    completion_commands.ReadmitCompletion, completion_id=COMPLETION_ID, lost_position=4_711, admitted=completion_admitted()
)
report_progress = example(completion_commands.ReportProgress, completion_id=COMPLETION_ID, output_tokens=400)
raise_hold = example(completion_commands.RaiseHold, completion_id=COMPLETION_ID)


END_USER_ID: Final = EndUserId("01981a2b-0000-7000-8000-0000000000ee")
end_user_seen = example(end_user.EndUserSeen)
end_user_erased = example(end_user.EndUserErased)

identify_end_user = example(end_user_commands.IdentifyEndUser, reference=END_USER_ID, value="ada@example.com", hmac="ad" * 32)
erase_end_user = example(end_user_commands.EraseEndUser, reference=END_USER_ID)


process_started = example(process.ProcessStarted, lock_key=4_711, version="0.1.0")
process_stopped = example(process.ProcessStopped)
process_found_dead = example(process.ProcessFoundDead, open_completions=3)

start_process = example(process_commands.StartProcess, process_id=PROCESS_ID, lock_key=4_711, version="0.1.0")
stop_process = example(process_commands.StopProcess, process_id=PROCESS_ID)
note_death = example(process_commands.NoteDeath, process_id=PROCESS_ID, open_completions=3)


_REFUSED: Final[dict[str, Any]] = {
    "api_key_id": API_KEY_ID,
    "rule": "requests_per_minute",
    "count": 12,
    "window_s": 60,
    "first_request_id": "01981a2b-0000-7000-8000-0000000000aa",
}
admissions_refused = example(refusal.AdmissionsRefused, **_REFUSED)

record_refusals = example(refusal_commands.RecordRefusals, refusal_id=RefusalId("01981a2b-0000-7000-8000-00000000000b"), **_REFUSED)


log_rewound = example(rewind.LogRewound, lost_position=4_711, lost_hash="5e" * 32)

note_rewind = example(rewind_commands.NoteRewind, rewind_id=Slug("4711-5e5e5e5e"), lost_position=4_711, lost_hash="5e" * 32)


usage_deleted = example(usage.UsageDeleted, before=TODAY, since=datetime(2026, 2, 1, tzinfo=UTC))

delete_usage = example(usage_commands.DeleteUsage, records_id=Slug("records"), before=TODAY)
