"""What every gateway has from its first start: administrators with a key, credentials from the environment, the local model.

Each thing is made where it has never been, so a second start finds nothing to do, and what people have changed or deleted stays so.
The admin key keeps the secret that it was issued with: an `ADMIN_API_KEY` that says otherwise later is pointed out, not obeyed, since
a key that changes by itself would lock out whoever holds it, and a log in which keys change without a command would not be worth much.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from application.ports import Log
from domain.api_key.api_key import API_KEYS
from domain.api_key.commands import IssueApiKey
from domain.api_key.events import Permissions
from domain.api_key.secret import SECRET_BYTES, digest_of, prefix_of, secret_of
from domain.credential.commands import AddCredential
from domain.credential.credential import CREDENTIALS
from domain.credential.events import SecretSource
from domain.errors import Conflict
from domain.ids import ApiKeyId, CredentialId, ModelId, TeamId
from domain.kernel import Command
from domain.model.commands import PriceModel, PublishModel
from domain.model.events import ModelContent
from domain.model.model import MODELS
from domain.price import Category, Rates, Tier
from domain.state import Kind
from domain.team.commands import CreateTeam
from domain.team.team import ADMINISTRATORS, TEAMS

BY: Final = "system:start"
ADMIN_KEY: Final = ApiKeyId("admin")
LOCAL_CREDENTIAL: Final = CredentialId("local")
LOCAL_MODEL: Final = ModelId("local")
LOCAL_PROVIDER_MODEL: Final = "SmolLM2-135M-Instruct"
LOCAL_OUTPUT_TOKENS_MAX: Final = 2_048
"""Half of its context."""
LOCAL_RATES: Final[Rates] = {
    Category.INPUT: (Tier(nanos_per_million=100_000_000),),
    Category.OUTPUT: (Tier(nanos_per_million=400_000_000),),
}
"""It costs nobody anything, but a free model would never move a budget."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the settings ask for."""

    admin_secret: str | None = None
    """None: one is generated."""
    credentials: Sequence[AddCredential] = ()
    local_model: bool = False


async def bootstrap(recorder: Log, wanted: Wanted, *, random: Callable[[int], bytes], correlation_id: str) -> str | None:
    """The admin key's secret if it was generated now: show it once."""
    first = partial(_first, recorder, correlation_id)
    await first(TEAMS, ADMINISTRATORS, CreateTeam(team_id=TeamId(ADMINISTRATORS), name="Administrators"))
    secret = wanted.admin_secret or secret_of(random(SECRET_BYTES))
    issued = await first(API_KEYS, ADMIN_KEY, _admin_key(secret))
    for credential in wanted.credentials:
        await first(CREDENTIALS, credential.credential_id, credential)
    if wanted.local_model:
        await first(CREDENTIALS, LOCAL_CREDENTIAL, _LOCAL_CREDENTIAL)
        await first(MODELS, LOCAL_MODEL, PublishModel(model_id=LOCAL_MODEL, content=_LOCAL_CONTENT))
        await _price_local_model(recorder, correlation_id)
    return secret if issued and wanted.admin_secret is None else None


async def _first(recorder: Log, correlation_id: str, kind: Kind[str, Any], identity: str, command: Command) -> bool:
    """Whether it was made now. What was ever there, deleted or not, is left alone; another process may start at the same moment."""
    if recorder.view.get(kind, identity) is not None:
        return False
    try:
        await recorder.submit(command, by=BY, correlation_id=correlation_id)
    except Conflict:
        return False
    return True


async def _price_local_model(recorder: Log, correlation_id: str) -> None:
    model = recorder.view.get(MODELS, LOCAL_MODEL)
    if model is not None and not model.retired and not model.prices:
        await recorder.submit(PriceModel(model_id=LOCAL_MODEL, source="given", rates=LOCAL_RATES), by=BY, correlation_id=correlation_id)


def point_out_changes(recorder: Log, wanted: Wanted) -> None:
    """Settings that were used once and say something else now."""
    view = recorder.view
    key = view.get(API_KEYS, ADMIN_KEY)
    if wanted.admin_secret and key is not None and key.secret_sha256 != digest_of(wanted.admin_secret):
        log.warning("ADMIN_API_KEY is not the secret that the key admin was issued with, and is not used; `gateway keys` replaces keys")
    for asked in wanted.credentials:
        credential = view.get(CREDENTIALS, asked.credential_id)
        if credential is not None and credential.endpoint != asked.endpoint:
            log.warning("the credential %s keeps the address that it was added with, not what the environment says", asked.credential_id)


def _admin_key(secret: str) -> IssueApiKey:
    return IssueApiKey(
        api_key_id=ADMIN_KEY,
        name="Admin Key",
        team_id=TeamId(ADMINISTRATORS),
        key_prefix=prefix_of(secret),
        secret_sha256=digest_of(secret),
        permissions=Permissions(admin=True),
    )


_LOCAL_CREDENTIAL: Final = AddCredential(
    credential_id=LOCAL_CREDENTIAL, name="Local model", credential_type="local", secret=SecretSource(source="none")
)
_LOCAL_CONTENT: Final = ModelContent(
    name="Local model",
    provider="local",
    provider_model=LOCAL_PROVIDER_MODEL,
    credential_id=LOCAL_CREDENTIAL,
    max_output_tokens=LOCAL_OUTPUT_TOKENS_MAX,
)
