"""The directory: who may do what. Indexes over keys and budgets, and the questions that admission and the edge ask.

Indexes follow the entities' states, before and after, so that no event needs to be known here by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.api_key import api_key as api_keys
from domain.api_key.api_key import API_KEYS, ApiKey
from domain.api_key.events import Permissions, Specific
from domain.budget.budget import Budget
from domain.errors import Forbidden, NotFound, Unauthenticated, Unreadable
from domain.ids import ApiKeyId, TeamId
from domain.model.model import MODELS, Model
from domain.price import Price
from domain.state import Kind, View
from domain.team import team as teams
from domain.team.team import TEAMS, Team

KEY_OF_SECRET: Final = Kind[str, str]("key-of-secret")
"""From a secret's SHA-256 to the key's id."""

BUDGETS_OF: Final = Kind[str, tuple[str, ...]]("budgets-of")
"""From whom they bind (EVERYONE, a key, a team) to the ids of the budgets that are in force, in order."""

PRICES: Final = Kind[str, Price]("price")
"""By id, each that ever was in force: what was admitted keeps its price, whatever becomes of the model."""

EVERYONE: Final = "everyone"

KEY_REFUSALS: Final = {
    api_keys.Status.SUSPENDED: "This API key is suspended.",
    api_keys.Status.REVOKED: "This API key has been revoked.",
    api_keys.Status.DELETED: "Incorrect API key provided.",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """An active key of an active team: who asks."""

    api_key_id: ApiKeyId
    team_id: TeamId
    permissions: Permissions

    @property
    def admin(self) -> bool:
        return self.permissions.admin


def authenticate(view: View, secret_sha256: str, now: datetime) -> Caller:
    """Whose secret this is (SHA-256, hexadecimal). Refuses keys and teams that may not call."""
    api_key_id = view.get(KEY_OF_SECRET, secret_sha256)
    key = None if api_key_id is None else view.get(API_KEYS, api_key_id)
    if api_key_id is None or key is None:
        raise Unauthenticated("Incorrect API key provided.")
    check_key(key, now)
    check_team(view.get(TEAMS, key.team_id))
    return Caller(ApiKeyId(api_key_id), TeamId(key.team_id), key.permissions)


def check_key(key: ApiKey | None, now: datetime) -> ApiKey:
    """Refuses a key that isn't active."""
    if key is None:
        raise Unauthenticated("Incorrect API key provided.")
    if not key.readable:
        raise Unreadable
    if key.status is not api_keys.Status.ACTIVE:
        raise Unauthenticated(KEY_REFUSALS[key.status])
    if key.expired(now):
        raise Unauthenticated("This API key has expired.")
    return key


def check_team(team: Team | None) -> None:
    """Refuses a team that isn't active."""
    if team is not None and not team.readable:
        raise Unreadable
    if team is None or team.status is teams.Status.DELETED:
        raise Unauthenticated("The team of this API key no longer exists.")
    if team.status is teams.Status.SUSPENDED:
        raise Forbidden("The team of this API key is suspended.", code="team_suspended")


def permitted(permissions: Permissions, model_id: str) -> bool:
    match permissions.models:
        case "all":
            return True
        case Specific(specific=models):
            return model_id in models
    return False


def check_permitted(permissions: Permissions, model_id: str) -> None:
    if not permitted(permissions, model_id):
        raise Forbidden(f"This API key is not allowed to use the model `{model_id}`.", param="model", code="model_not_allowed")


def check_model(model: Model | None, name: str) -> Model:
    """Refuses a model that clients can't call."""
    if model is not None and not model.readable:
        raise Unreadable
    if model is None or model.retired or not model.content.enabled:
        raise NotFound(f"The model `{name}` does not exist or you do not have access to it.", param="model", code="model_not_found")
    return model


def find_model(view: View, caller: Caller, name: str, now: datetime) -> Model:
    """The model that a caller names and may use."""
    model = check_model(view.get(MODELS, name), name)
    check_permitted(caller.permissions, name)
    return model


def visible_models(view: View, caller: Caller) -> list[tuple[str, Model]]:
    """What a caller may use, by id, in order."""
    offered = ((model_id, model) for model_id, model in view.items(MODELS) if model.content.enabled and not model.retired)
    return sorted((entry for entry in offered if permitted(caller.permissions, entry[0])), key=lambda entry: entry[0])


def budgets_of(view: View, api_key_id: str, team_id: str) -> tuple[str, ...]:
    """The ids of the budgets in force whose keys and teams include these, in order, each once."""
    found = tuple(budgets for whom in (EVERYONE, of_key(api_key_id), of_team(team_id)) if (budgets := view.get(BUDGETS_OF, whom)))
    return found[0] if len(found) == 1 else tuple(sorted({budget_id for budgets in found for budget_id in budgets}))


def of_key(api_key_id: str) -> str:
    return f"key:{api_key_id}"


def of_team(team_id: str) -> str:
    return f"team:{team_id}"


def index_key(view: View, api_key_id: str, before: ApiKey | None, after: ApiKey | None) -> None:
    old, new = before and before.secret_sha256, after and after.secret_sha256
    if old == new:
        return
    if old and view.get(KEY_OF_SECRET, old) == api_key_id:
        view.put(KEY_OF_SECRET, old, None)
    if new:
        view.put(KEY_OF_SECRET, new, api_key_id)


def index_model(view: View, model_id: str, before: Model | None, after: Model | None) -> None:
    known = () if before is None else before.prices
    for price in () if after is None else after.prices[len(known) :]:
        view.put(PRICES, price.price_id, price)


def index_budget(view: View, budget_id: str, before: Budget | None, after: Budget | None) -> None:
    bound_before, bound_after = set(_bound(before)), set(_bound(after))
    for whom in sorted(bound_before - bound_after):
        remaining = tuple(other for other in view.get(BUDGETS_OF, whom) or () if other != budget_id)
        view.put(BUDGETS_OF, whom, remaining or None)
    for whom in sorted(bound_after - bound_before):
        view.put(BUDGETS_OF, whom, tuple(sorted((*(view.get(BUDGETS_OF, whom) or ()), budget_id))))


def _bound(budget: Budget | None) -> Iterator[str]:
    """Whom it binds now. One that can't be read may have been enabled or opened again: it binds, and is refused when it is met."""
    if budget is None or (budget.readable and (budget.closed or not budget.enabled)):
        return
    scope = budget.scope
    yield from map(of_key, scope.api_key_ids)
    yield from map(of_team, scope.team_ids)
    if not scope.api_key_ids and not scope.team_ids:
        yield EVERYONE
