"""Whatever happens in whatever order, the promises of admission hold at every event. The books here share no code with the ledger."""

from datetime import timedelta
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.admission.ledger import ACCOUNTS, balance
from domain.admission.rates import COUNTS, rate_standing
from domain.api_key.api_key import API_KEYS
from domain.api_key.commands import ActivateApiKey, ChangeApiKey, DeleteApiKey, IssueApiKey, SuspendApiKey
from domain.api_key.events import Permissions, RateLimits
from domain.audit import Books, enter
from domain.budget.budget import BUDGETS, Budget
from domain.budget.commands import ChangeBudget, CloseBudget, OpenBudget, ResetBudget
from domain.budget.events import AtLimit
from domain.completion.commands import AdmitCompletion, AttemptMade, RaiseHold, RecoverCompletion, ReportProgress, SettleCompletion
from domain.completion.completion import OPEN_COMPLETIONS
from domain.completion.events import CompletionAdmitted, CompletionCorrected, CompletionSettled, EndReason
from domain.errors import BudgetExceeded, RateLimited, Refusal
from domain.fold import TROUBLE, VERSIONS, fold
from domain.kernel import Command
from domain.model.commands import PriceModel, PublishModel, RetireModel
from domain.model.events import ModelContent
from domain.model.model import MODELS
from domain.price import Category, Tier
from domain.state import State
from domain.team.commands import ActivateTeam, CreateTeam, SuspendTeam
from domain.time import Period
from tests.domain.gateway import NANO_PER_TOKEN, Gateway, made, tables
from tests.domain.recount import Money, Where, binds, bound, budget_of, current, endings, money_of, open_of, requests, tokens, where

ALL_BUDGETS: Final = ("b1", "b2", "b3")
ALL_KEYS: Final = ("k", "k2")
WINDOWS: Final = {"requests_per_minute": (1, 60), "requests_per_hour": (60, 60), "requests_per_day": (3_600, 24)}
"""By limit: seconds per bucket, and buckets."""

BUDGET_IDS = st.sampled_from(ALL_BUDGETS)
KEY_IDS = st.sampled_from(ALL_KEYS)
TEAM_IDS = st.sampled_from(["t", "t2"])
MODEL_IDS = st.sampled_from(["m", "n"])
TOKENS = st.integers(0, 1_500)
MONEY = st.builds(lambda about, more: about + more, st.sampled_from([1, 3_000, 9_000, 30_000, 90_000, 300_000]), st.integers(0, 999))
DELAYS = st.sampled_from([0.0, 0.4, 1, 7, 59, 61, 1_800, 3_600, 86_400, 86_400, 6 * 86_400, 31 * 86_400])


def some(ids: st.SearchStrategy[str]) -> st.SearchStrategy[frozenset[str]]:
    return st.just(frozenset()) | st.frozensets(ids, max_size=2)


def maybe(least: int, most: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(least, most)


def rates(input_rate: int, output_rate: int, request_rate: int) -> dict[Category, tuple[Tier, ...]]:
    """In nano-dollars per token, and per request."""
    told = {Category.INPUT: input_rate, Category.OUTPUT: output_rate, Category.REQUEST: 1_000_000 * request_rate}
    return {category: (Tier(nanos_per_million=rate * NANO_PER_TOKEN),) for category, rate in told.items() if rate}


def content(most: int) -> ModelContent:
    return ModelContent(name="M", provider="openai", provider_model="m", credential_id="c", max_output_tokens=most, image_tokens_max=300)


OPENINGS = st.builds(
    OpenBudget,
    budget_id=BUDGET_IDS,
    name=st.just("B"),
    period=st.sampled_from(Period),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    hard_limit_nanos=MONEY,
    api_key_ids=some(KEY_IDS),
    team_ids=some(TEAM_IDS),
    model_ids=some(MODEL_IDS),
    at_limit=st.sampled_from(AtLimit),
    starting_spend_nanos=st.sampled_from([0, 0, 500]),
)
SCOPES = {"api_key_ids": some(KEY_IDS), "team_ids": some(TEAM_IDS), "model_ids": some(MODEL_IDS)}
CHANGES = st.one_of(
    OPENINGS,
    st.builds(ChangeBudget, budget_id=BUDGET_IDS, hard_limit_nanos=MONEY),
    st.builds(ChangeBudget, budget_id=BUDGET_IDS, **SCOPES),
    st.builds(ChangeBudget, budget_id=BUDGET_IDS, enabled=st.sampled_from([True, True, False]), at_limit=st.sampled_from(AtLimit)),
    st.builds(ResetBudget, budget_id=BUDGET_IDS),
    st.builds(CloseBudget, budget_id=BUDGET_IDS),
    st.builds(SuspendTeam, team_id=TEAM_IDS),
    st.builds(SuspendApiKey, api_key_id=KEY_IDS),
    st.builds(DeleteApiKey, api_key_id=st.just("k2")),
    st.builds(RetireModel, model_id=st.just("n")),
    st.builds(PriceModel, model_id=MODEL_IDS, source=st.just("given"), rates=st.builds(rates, *[st.sampled_from([0, 2, 9])] * 3)),
)
LIMITS = st.builds(
    RateLimits,
    requests_per_minute=maybe(2, 6),
    requests_per_hour=maybe(4, 9),
    requests_per_day=maybe(6, 12),
    tokens_per_minute=maybe(4_000, 20_000),
    parallel_requests=maybe(1, 4),
)
USAGES = st.fixed_dictionaries(
    {}, optional={"input": TOKENS, "cached_input": TOKENS, "output": st.integers(0, 4_000), "request": st.just(1), "odd": TOKENS}
)
ATTEMPTS: st.SearchStrategy[AttemptMade] = st.builds(
    lambda model_id, outcome, usage: made(model_id=model_id, outcome=outcome, **usage),
    MODEL_IDS,
    st.sampled_from(["succeeded", "succeeded", "refused", "failed", "unknown"]),
    USAGES,
)
ASKS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    api_key_id=KEY_IDS,
    route=st.sampled_from([("m",), ("m",), ("n",), ("m", "n"), ("n", "m")]),
    prompt_text_tokens_bound=TOKENS,
    image_count=st.sampled_from([0, 0, 1]),
    choices=st.sampled_from([1, 1, 1, 3]),
    output_cap=st.none() | st.integers(1, 1_000),
    stream=st.booleans(),
)


class Life(RuleBasedStateMachine):
    """A gateway's life: random commands, decided and folded; after each step, everything is counted again."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = Gateway()
        self.kept = 0
        """Events beyond these are a draft's."""
        self.audited = Books()
        self.read = 0
        """By the auditor."""
        self.asked: list[str] = []

    @initialize(openings=st.lists(OPENINGS, max_size=3))
    def furnish(self, openings: list[OpenBudget]) -> None:
        self.gateway.furnished()
        self.make_whole()
        for opening in openings:
            self.ask(opening)

    @rule()
    def make_whole(self) -> None:
        """What is suspended, deleted or retired comes back, else life is short."""
        key = {"name": "K", "key_prefix": "pk_test_x", "secret_sha256": "2b" * 32, "permissions": Permissions()}
        for command in (
            CreateTeam(team_id="t2", name="T"),
            ActivateTeam(team_id="t"),
            ActivateTeam(team_id="t2"),
            IssueApiKey(api_key_id="k2", team_id="t2", **key),
            ActivateApiKey(api_key_id="k"),
            ActivateApiKey(api_key_id="k2"),
            PublishModel(model_id="n", content=content(100 if self.gateway.at.second % 2 else 1_000)),
            PriceModel(model_id="n", source="given", rates=rates(1, 4, 0)),
        ):
            self.ask(command)

    @rule(command=CHANGES)
    def change(self, command: Command) -> None:
        self.ask(command)

    @rule(command=OPENINGS)
    def open_budget(self, command: Command) -> None:
        self.ask(command)

    @rule(api_key_id=KEY_IDS, limits=st.just(RateLimits()) | LIMITS)
    def limit_key(self, api_key_id: str, limits: RateLimits) -> None:
        self.ask(ChangeApiKey(api_key_id=api_key_id, rate_limits=limits))

    # Completions

    def admit(self, asks: list[dict[str, Any]]) -> None:
        for ask in asks:
            completion_id = f"c{len(self.asked)}"
            command = AdmitCompletion(completion_id=completion_id, owner="p", model_id=ask["route"][0], **ask)
            for admitted in self.ask(command):
                self.asked.append(completion_id)
                self.check_admission(command, admitted)

    admit_one = rule(asks=st.lists(ASKS, min_size=1, max_size=1))(admit)
    admit_some = rule(asks=st.lists(ASKS, min_size=1, max_size=4))(admit)
    admit_more = rule(asks=st.lists(ASKS, min_size=2, max_size=6))(admit)

    def settle(self, data: st.DataObject) -> None:
        completion_id = data.draw(st.sampled_from(self.asked[-6:]))
        attempts = data.draw(st.lists(ATTEMPTS, max_size=3))
        before = endings(self.gateway.events, completion_id)
        command = SettleCompletion(completion_id=completion_id, end_reason=EndReason.COMPLETED, attempts=tuple(attempts))
        said = self.ask(command, refusable=False)
        match before:
            case []:
                assert [type(event) for event in said] == [CompletionSettled]
            case [CompletionSettled(recovered=True)]:
                assert [type(event) for event in said] == [CompletionCorrected]
            case _:
                assert said == []
        for event in said:
            self.check_settlement(completion_id, event)

    settle_one = precondition(lambda self: self.asked)(rule(data=st.data())(settle))
    settle_another = precondition(lambda self: self.asked)(rule(data=st.data())(settle))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), kind=st.sampled_from([RecoverCompletion, RaiseHold, ReportProgress]), output_tokens=TOKENS)
    def go_on(self, data: st.DataObject, kind: Any, output_tokens: int) -> None:
        completion_id = data.draw(st.sampled_from(self.asked[-6:]))
        more = {"output_tokens": output_tokens} if kind is ReportProgress else {}
        self.ask(kind(completion_id=completion_id, **more))

    # Time, and batches that fail

    @rule(seconds=DELAYS)
    def wait(self, seconds: float) -> None:
        if self.gateway.view is self.gateway.state:
            self.gateway.later(seconds=seconds)

    @rule()
    def begin_batch(self) -> None:
        self.finish_batch(happened=True)
        self.gateway.draft()

    @rule(happened=st.booleans())
    def finish_batch(self, happened: bool) -> None:
        if happened:
            self.gateway.keep()
            self.kept = len(self.gateway.events)
        elif self.gateway.view is not self.gateway.state:
            self.gateway.drop(self.kept)
            self.asked = [asked for asked in self.asked if f"main/completion/{asked}" in self.gateway.versions]

    def ask(self, command: Command, *, refusable: bool = True) -> list[Any]:
        try:
            said = list(self.gateway.ask(command))
        except Refusal as refusal:
            self.check_refusal(command, refusal)
            if not refusable:
                raise
            return []
        if self.gateway.view is self.gateway.state:
            self.kept = len(self.gateway.events)
        return said

    # What must hold

    def check_admission(self, command: AdmitCompletion, admitted: CompletionAdmitted) -> None:
        """Each budget that binds it is held on, where it stands now, and stays within its limit; and so do the key's rates."""
        events, at, key_id = self.gateway.events, self.gateway.at, command.api_key_id
        money, bound_by = money_of(events), self.bound_by(command)
        assert {where(hold) for hold in admitted.holds} == {current(budget_id, budget, at) for budget_id, budget in bound_by.items()}
        for hold in admitted.holds:
            assert hold.nanos == self.needed(command, admitted.output_cap)
            assert money.taken(where(hold)) <= bound_by[hold.budget_id].hard_limit_nanos
        limits = self.limits(key_id)
        for name, (bucket_s, buckets) in WINDOWS.items():
            limit = getattr(limits, name)
            assert limit is None or requests(events, key_id, name, at, bucket_s=bucket_s, buckets=buckets) <= limit
        assert limits.parallel_requests is None or open_of(events, key_id) <= limits.parallel_requests
        assert limits.tokens_per_minute is None or tokens(events, key_id, at) <= limits.tokens_per_minute
        self.check_cap(command, admitted.output_cap, money_of(events[:-1]))

    def check_cap(self, command: AdmitCompletion, cap: int, before: Money) -> None:
        """The client's; or the most that models and clamping budgets allow, but never less than 256 tokens of a model that has so many."""
        if command.output_cap is not None:
            assert cap == command.output_cap
            return
        most = min(self.gateway.view.get(MODELS, step).content.max_output_tokens for step in command.route)  # type: ignore[union-attr]
        clamping = {name: budget for name, budget in self.bound_by(command).items() if budget.at_limit is AtLimit.CLAMP}
        free = [budget.hard_limit_nanos - before.taken(current(name, budget, self.gateway.at)) for name, budget in clamping.items()]
        share = min(free) // 8 if free else None
        assert min(most, 256) <= cap <= most
        assert share is None or self.needed(command, cap) <= max(share, self.needed(command, min(most, 256)))
        assert cap == most or (share is not None and self.needed(command, cap + 1) > share)

    def check_refusal(self, command: Command, refusal: Refusal) -> None:
        match refusal, command:
            case BudgetExceeded(budget_id=budget_id), AdmitCompletion(output_cap=int() as cap):
                budget = self.bound_by(command)[budget_id]
                taken = money_of(self.gateway.events).taken(current(budget_id, budget, self.gateway.at))
                assert taken + self.needed(command, cap) > budget.hard_limit_nanos
            case RateLimited(retry_after=retry_after, limit=limit), AdmitCompletion():
                assert timedelta(0) < retry_after <= timedelta(days=1)
                assert getattr(self.limits(command.api_key_id), limit) is not None

    def check_settlement(self, completion_id: str, event: CompletionSettled | CompletionCorrected) -> None:
        """Within its bounds a call costs no more than was held."""
        admitted = next(e.event for e in self.gateway.events if e.id == completion_id and isinstance(e.event, CompletionAdmitted))
        within = len(event.attempts) <= 1 and all(
            attempt.usage.get("input", 0) + attempt.usage.get("cached_input", 0) <= admitted.prompt_tokens_bound
            and attempt.usage.get("output", 0) <= admitted.output_cap * admitted.choices
            for attempt in event.attempts
        )
        if within and isinstance(event, CompletionSettled):
            assert event.overrun_nanos == 0
        assert all(
            outcome.spent_nanos == event.cost_nanos or event.cost_nanos is None or len(admitted.route) > 1 for outcome in event.holds
        )

    def bound_by(self, command: AdmitCompletion) -> dict[str, Budget]:
        key = self.gateway.view.get(API_KEYS, command.api_key_id)
        assert key is not None
        budgets = {budget_id: budget for budget_id in ALL_BUDGETS if (budget := budget_of(self.gateway.events, budget_id))}
        models = {command.model_id, *command.route}
        return {
            budget_id: budget
            for budget_id, budget in budgets.items()
            if binds(budget, api_key_id=command.api_key_id, team_id=key.team_id, models=models)
        }

    def needed(self, command: AdmitCompletion, cap: int) -> int:
        needed = 0
        for step in command.route:
            model = self.gateway.view.get(MODELS, step)
            assert model is not None
            price = model.price(self.gateway.at)
            assert price is not None
            prompt = command.prompt_text_tokens_bound + command.image_count * model.content.image_tokens_max
            needed = max(needed, bound(price, prompt, cap * command.choices))
        return needed

    def limits(self, api_key_id: str) -> RateLimits:
        key = self.gateway.view.get(API_KEYS, api_key_id)
        return RateLimits() if key is None else key.rate_limits

    @invariant()
    def the_ledger_is_what_the_events_add_up_to(self) -> None:
        money, view, at = money_of(self.gateway.events), self.gateway.view, self.gateway.at
        for budget_id, budget in view.items(BUDGETS):
            here, stands = current(budget_id, budget, at), balance(view, budget_id, at)
            assert (stands.generation, stands.period_start) == here[1:]
            assert (stands.settled_nanos, stands.held_nanos) == (money.settled.get(here, 0), money.held.get(here, 0))
            assert stands.period_end is None or at < stands.period_end
            account = view.get(ACCOUNTS, budget_id)
            periods: tuple[Any, ...] = () if account is None else (*account.earlier, account)
            held = {Where(budget_id, each.generation, each.period_start): each.held_nanos for each in periods if each.held_nanos}
            assert held == {place: nanos for place, nanos in money.held.items() if place.budget_id == budget_id}

    @invariant()
    def what_is_open_is_resident_and_counted(self) -> None:
        view, events = self.gateway.view, self.gateway.events
        still_open = {completion_id for completion_id in self.asked if not endings(events, completion_id)}
        assert {completion_id for completion_id, _ in view.items(OPEN_COMPLETIONS)} == still_open
        assert {stream.split("/")[2] for stream, _ in view.items(VERSIONS) if "/completion/" in stream} == still_open
        for api_key_id in ALL_KEYS:
            counts = view.get(COUNTS, api_key_id)
            assert (counts.open if counts else 0) == open_of(events, api_key_id)

    @invariant()
    def rates_are_what_was_asked(self) -> None:
        events, at = self.gateway.events, self.gateway.at
        for api_key_id in ALL_KEYS:
            limits, standing = self.limits(api_key_id), rate_standing(self.gateway.view, api_key_id, at)
            if limits.tokens_per_minute is not None:
                assert standing.tokens is not None
                assert standing.tokens.remaining == max(0, limits.tokens_per_minute - tokens(events, api_key_id, at))
            left = [
                max(0, limit - requests(events, api_key_id, name, at, bucket_s=bucket_s, buckets=buckets))
                for name, (bucket_s, buckets) in WINDOWS.items()
                if (limit := getattr(limits, name)) is not None
            ]
            assert (standing.requests and standing.requests.remaining) == (min(left) if left else None)

    @invariant()
    def an_auditor_finds_nothing(self) -> None:
        if self.gateway.view is self.gateway.state:
            findings = [finding for each in self.gateway.events[self.read :] for finding in enter(self.audited, each)]
            assert findings == []
            self.read = len(self.gateway.events)

    def teardown(self) -> None:
        """Folded again from the first event on, the state is the same."""
        self.gateway.keep()
        again = State()
        for each in self.gateway.events:
            fold(again, each)
        assert tables(again) == tables(self.gateway.state)
        assert list(again.items(TROUBLE)) == []


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
