"""A case for admission: what is asked, and all that is known of those whom it concerns, looked up once.

What isn't there, isn't active or can't be read is refused here; the rules then judge how much is asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain.admission.directory import budgets_of, check_key, check_model, check_permitted, check_team
from domain.admission.ledger import Balance, balance
from domain.admission.rates import COUNTS, NOTHING, Counts
from domain.api_key.api_key import API_KEYS, ApiKey
from domain.budget.budget import BUDGETS, Budget
from domain.completion.commands import PROMPT_TOKENS_MAX, AdmitCompletion
from domain.credential.credential import CREDENTIALS
from domain.errors import Invalid, Unreadable
from domain.ids import ModelId
from domain.model.model import MODELS, Model
from domain.price import Price
from domain.references import REFERENCES
from domain.state import View
from domain.team.team import TEAMS


class Step(NamedTuple):
    """A model of the route, as it is now."""

    model_id: ModelId
    model: Model
    price: Price | None
    """None: unknown."""
    prompt_tokens_bound: int
    """With images as this model counts them."""


class Applying(NamedTuple):
    """A budget that the case falls under, and where it stands."""

    budget_id: str
    budget: Budget
    balance: Balance
    model_ids: tuple[ModelId, ...]
    """The models of the route that it counts, where that isn't all of them."""


@dataclass(frozen=True, slots=True)
class Case:
    command: AdmitCompletion
    now: datetime
    key: ApiKey
    counts: Counts
    """Of the key."""
    steps: tuple[Step, ...]
    budgets: tuple[Applying, ...]
    end_user: str | None
    """The reference of the person that it is for."""


def case_of(view: View, command: AdmitCompletion, now: datetime) -> Case:
    key = check_key(view.get(API_KEYS, command.api_key_id), now)
    check_team(view.get(TEAMS, key.team_id))
    steps = tuple([_step(view, model_id, command, now) for model_id in command.route])
    check_permitted(key.permissions, command.model_id)
    counts = view.get(COUNTS, command.api_key_id) or NOTHING
    return Case(command, now, key, counts, steps, tuple(_applying(view, key, command, now)), _end_user(view, command))


def _end_user(view: View, command: AdmitCompletion) -> str | None:
    sought = command.seeks
    known = None if sought is None else view.get(REFERENCES, sought)
    return known or command.end_user


def _step(view: View, model_id: ModelId, command: AdmitCompletion, now: datetime) -> Step:
    model = check_model(view.get(MODELS, model_id), model_id)
    credential = view.get(CREDENTIALS, model.content.credential_id)
    if credential is not None and not credential.readable:
        raise Unreadable
    prompt_tokens_bound = command.prompt_text_tokens_bound + command.image_count * model.content.image_tokens_max
    if prompt_tokens_bound > PROMPT_TOKENS_MAX:
        raise Invalid("The prompt is longer than any model takes.", param="messages")
    return Step(model_id, model, model.price(now), prompt_tokens_bound)


def _applying(view: View, key: ApiKey, command: AdmitCompletion, now: datetime) -> Iterator[Applying]:
    for budget_id in budgets_of(view, command.api_key_id, key.team_id):
        budget = view.get(BUDGETS, budget_id)
        if budget is None or not budget.readable:
            raise Unreadable
        models = budget.scope.model_ids
        if not models or command.model_id in models:
            yield Applying(budget_id, budget, balance(view, budget_id, now), ())
        elif counted := tuple([model_id for model_id in command.route if model_id in models]):
            yield Applying(budget_id, budget, balance(view, budget_id, now), () if len(counted) == len(command.route) else counted)
