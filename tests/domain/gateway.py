"""A gateway without a log: commands decided one after another, their events folded at once, time standing still until it is moved."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from domain.api_key.events import ApiKeyIssued, Permissions
from domain.budget.events import BudgetOpened, Scope
from domain.completion.commands import AdmitCompletion, AttemptMade, SettleCompletion
from domain.completion.events import CompletionAdmitted, CompletionSettled, EndReason
from domain.credential.events import CredentialAdded, SecretSource
from domain.deciders import DECIDER_OF_COMMAND
from domain.fold import fold
from domain.kernel import Command, Event, Recorded, stream_name
from domain.model.events import ModelContent, ModelPriced, ModelPublished
from domain.price import Category, Price, Tier
from domain.state import Overlay, Scene, State, View
from domain.team.events import TeamCreated
from domain.time import Period
from tests.scenario import NOW, folded, recorded

NANO_PER_TOKEN: Final = 1_000_000
RATES: Final = {Category.INPUT: (Tier(nanos_per_million=NANO_PER_TOKEN),), Category.OUTPUT: (Tier(nanos_per_million=4 * NANO_PER_TOKEN),)}
"""A nano-dollar per token of the prompt, four per token of the answer: sums can be done in one's head."""


class Gateway:
    """Team `t` has the key `k`; the models `m` and `n` cost RATES, and their answers have at most 1,000 tokens."""

    def __init__(self) -> None:
        self.at: datetime = NOW
        self.state = State()
        self.view: View = self.state
        self.events: list[Recorded[Any]] = []
        self.versions: dict[str, int] = {}
        self.admissions = 0

    def furnished(self) -> "Gateway":
        self.add_team("t")
        self.add_key("k")
        self.happened("credential/c", CredentialAdded(name="C", credential_type="openai", secret=SecretSource(source="none")))
        for model_id in ("m", "n"):
            self.add_model(model_id)
        return self

    def add_team(self, team_id: str) -> None:
        self.happened(f"team/{team_id}", TeamCreated(name=team_id))

    def add_key(self, key_id: str, **changes: Any) -> None:
        usual = {
            "name": "K",
            "team_id": "t",
            "key_prefix": "pk_test_x",
            "secret_sha256": f"secret of {key_id}",
            "permissions": Permissions(),
        }
        self.happened(f"api-key/{key_id}", ApiKeyIssued(**(usual | changes)))

    def add_model(self, model_id: str, *, priced: bool = True, **changes: Any) -> None:
        usual = {"name": "M", "provider": "openai", "provider_model": "m", "credential_id": "c", "max_output_tokens": 1_000}
        self.happened(f"model/{model_id}", ModelPublished(version=1, content=ModelContent(**(usual | changes))))
        if priced:
            self.price_model(model_id, RATES, number=1)

    def price_model(self, model_id: str, rates: Any, *, number: int) -> None:
        price = Price(price_id=f"{model_id}.{number}", source="given", rates=rates, effective_from=self.at)
        self.happened(f"model/{model_id}", ModelPriced(price=price))

    def open_budget(self, budget_id: str = "b", limit: int = 10_000, *, period: Period = Period.DAILY, **changes: Any) -> None:
        scope = Scope(**{name: changes.pop(name) for name in list(changes) if name in Scope.model_fields})
        self.happened(f"budget/{budget_id}", BudgetOpened(name="B", period=period, hard_limit_nanos=limit, scope=scope, **changes))

    def later(self, **delay: float) -> None:
        self.at += timedelta(**delay)

    def happened(self, stream: str, event: Event) -> Recorded[Any]:
        stream = f"main/{stream}"
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        entered = recorded(event, stream, self.at, len(self.events) + 1)._replace(version=version)
        self.events.append(entered)
        fold(self.view, entered)
        return entered

    def ask(self, command: Command) -> Sequence[Event]:
        """Raises the decider's Refusal."""
        decider = DECIDER_OF_COMMAND[type(command)]
        identity = decider.stream_id(command)
        own = self.view.get(decider.kind, identity)
        if own is None:
            stream = stream_name("main", decider.category, identity)
            own = folded(decider, [each for each in self.events if each.stream == stream])
        said = list(decider.decide(command, Scene(self.view, own) if decider.sees_all else own, self.at))
        events = [each for each in said if isinstance(each, Event)]
        for event in events:
            self.happened(f"{decider.category}/{identity}", event)
        return events

    def admit(self, completion_id: str = "", **changes: Any) -> CompletionAdmitted:
        self.admissions += 1
        completion_id = completion_id or f"c{self.admissions}"
        usual = {"completion_id": completion_id, "owner": "p", "api_key_id": "k", "model_id": "m", "prompt_text_tokens_bound": 100}
        asked = usual | changes
        (admitted,) = self.ask(AdmitCompletion(**({"route": (asked["model_id"],)} | asked)))
        assert isinstance(admitted, CompletionAdmitted)
        return admitted

    def settle(self, completion_id: str = "c1", *attempts: AttemptMade, end_reason: EndReason = EndReason.COMPLETED) -> Sequence[Event]:
        return self.ask(SettleCompletion(completion_id=completion_id, end_reason=end_reason, attempts=attempts))

    def settled(self, completion_id: str = "c1", *attempts: AttemptMade) -> CompletionSettled:
        (settled,) = self.settle(completion_id, *attempts)
        assert isinstance(settled, CompletionSettled)
        return settled

    def draft(self) -> "Overlay":
        """What follows is tried out, until `keep` or `drop`."""
        self.view = Overlay(self.state)
        return self.view

    def keep(self) -> None:
        if isinstance(self.view, Overlay):
            self.view.adopt()
        self.view = self.state

    def drop(self, events: int) -> None:
        """All but the first `events` have not happened."""
        del self.events[events:]
        self.versions = {each.stream: each.version for each in self.events}
        self.view = self.state


def made(*, model_id: str = "m", outcome: str = "succeeded", source: str = "reported", **usage: int) -> AttemptMade:
    """An attempt that used so many tokens of each category."""
    return AttemptMade(model_id=model_id, provider="openai", outcome=outcome, usage=usage, usage_source=source if usage else "none")


def tables(view: State) -> dict[str, dict[Any, Any]]:
    return {name: table for name, table in view.tables.items() if table}
