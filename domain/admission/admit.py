"""The decider of completions: what is admitted, at what hold, and how it goes on from there."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from domain.admission.case import Applying, Case, case_of
from domain.admission.hold import raise_hold
from domain.admission.rules import RULES
from domain.admission.settle import recover, settle, there
from domain.admission.terms import Terms, terms_of
from domain.completion.commands import (
    AdmitCompletion,
    RaiseHold,
    ReadmitCompletion,
    RecoverCompletion,
    ReportProgress,
    SettleCompletion,
)
from domain.completion.completion import OPEN_COMPLETIONS, Completion, Status, evolve
from domain.completion.events import (
    CompletionAdmitted,
    CompletionCorrected,
    CompletionHoldRaised,
    CompletionProgressed,
    CompletionReadmitted,
    CompletionSettled,
    Hold,
    RouteStep,
)
from domain.errors import Conflict
from domain.ids import BudgetId, TeamId
from domain.kernel import Decider, Event
from domain.state import Scene


def admit(command: AdmitCompletion, scene: Scene[Completion], now: datetime) -> Iterator[CompletionAdmitted]:
    if scene.own is not None:
        raise Conflict(f"The completion {command.completion_id} has been admitted already")
    case = case_of(scene.view, command, now)
    terms = terms_of(case)
    for rule in RULES:
        rule(case, terms)
    yield _admitted(case, terms)


def readmit(command: ReadmitCompletion, scene: Scene[Completion], now: datetime) -> Iterator[CompletionReadmitted]:
    """No limit is looked at: the money is being spent already. What the log still knows needs no second entry."""
    if scene.own is None:
        yield CompletionReadmitted(lost_position=command.lost_position, admitted=command.admitted)


def report_progress(command: ReportProgress, scene: Scene[Completion], now: datetime) -> Iterator[CompletionProgressed]:
    completion = there(scene.own, command.completion_id)
    if completion.status is Status.OPEN and command.output_tokens > completion.progress_tokens:
        yield CompletionProgressed(output_tokens=command.output_tokens)


def _admitted(case: Case, terms: Terms) -> CompletionAdmitted:
    command = case.command
    return CompletionAdmitted(
        owner=command.owner,
        kind=command.kind,
        api_key_id=command.api_key_id,
        team_id=TeamId(case.key.team_id),
        model_id=command.model_id,
        end_user=case.end_user,
        tags={**case.key.tags, **command.tags},
        stream=command.stream,
        prompt_tokens_bound=terms.prompt_tokens_bound,
        image_count=command.image_count,
        output_cap=terms.output_cap,
        output_cap_chosen=command.output_cap is None,
        choices=command.choices,
        rate_weight_tokens=terms.rate_weight_tokens,
        route=tuple([
            RouteStep(model_id=step.model_id, model_version=step.model.version, price_id=step.price and step.price.price_id)
            for step in case.steps
        ]),
        holds=() if terms.hold_nanos is None else tuple([_hold(applying, terms.hold_nanos) for applying in case.budgets]),
        idempotency_key=command.idempotency_key,
        request_digest=command.request_digest,
    )  # fmt: skip


def _hold(applying: Applying, nanos: int) -> Hold:
    balance = applying.balance
    return Hold(
        budget_id=BudgetId(applying.budget_id),
        generation=balance.generation,
        period_start=balance.period_start,
        nanos=nanos,
        model_ids=applying.model_ids,
    )


DECISIONS: Final[dict[type, Any]] = {
    AdmitCompletion: admit,
    ReadmitCompletion: readmit,
    RaiseHold: raise_hold,
    ReportProgress: report_progress,
    SettleCompletion: settle,
    RecoverCompletion: recover,
}


def decide(command: Any, scene: Scene[Completion], now: datetime) -> Iterable[Event]:
    events: Iterable[Event] = DECISIONS[type(command)](command, scene, now)
    return events


decider = Decider[Completion](
    category="completion",
    identity="completion_id",
    kind=OPEN_COMPLETIONS,
    commands=tuple(DECISIONS),
    events=(
        CompletionAdmitted,
        CompletionHoldRaised,
        CompletionProgressed,
        CompletionSettled,
        CompletionCorrected,
        CompletionReadmitted,
    ),
    decide=decide,
    evolve=evolve,
    resident=False,
    sees_all=True,
)
