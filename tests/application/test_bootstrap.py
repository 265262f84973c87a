"""What every gateway has from its first start, on a real log; and that a second start finds nothing to do."""

from collections.abc import AsyncIterator

import pytest

from adapters.log.postgres_log import PostgresLog
from application.bootstrap import ADMIN_KEY, LOCAL_CREDENTIAL, LOCAL_MODEL, Wanted, bootstrap, point_out_changes
from domain.api_key.api_key import API_KEYS
from domain.api_key.commands import RevokeApiKey
from domain.api_key.secret import digest_of
from domain.credential.commands import AddCredential, DeleteCredential
from domain.credential.credential import CREDENTIALS
from domain.credential.events import SecretSource
from domain.ids import CredentialId
from domain.model.commands import RetireModel
from domain.model.model import MODELS
from domain.team.team import ADMINISTRATORS, TEAMS

OPENAI = AddCredential(
    credential_id=CredentialId("openai-default"),
    name="OpenAI",
    credential_type="openai",
    secret=SecretSource(source="environment", name="OPENAI_API_KEY"),
    endpoint="https://one.example/v1",
)
EVERYTHING = Wanted(credentials=[OPENAI], local_model=True)


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[PostgresLog]:
    log = PostgresLog(database_url)
    await log.start()
    yield log
    await log.stop()


async def start(log: PostgresLog, wanted: Wanted) -> str | None:
    return await bootstrap(log, wanted, random=bytes, correlation_id="start")


async def test_the_first_start_makes_administrators_a_key_credentials_and_the_local_model(log: PostgresLog) -> None:
    secret = await start(log, EVERYTHING)
    team, key, model = log.view.get(TEAMS, ADMINISTRATORS), log.view.get(API_KEYS, ADMIN_KEY), log.view.get(MODELS, LOCAL_MODEL)
    assert team is not None
    assert team.name == "Administrators"
    assert key is not None
    assert secret is not None
    assert (key.secret_sha256, key.team_id, key.permissions.admin) == (digest_of(secret), ADMINISTRATORS, True)
    assert model is not None
    assert (model.content.credential_id, len(model.prices)) == (LOCAL_CREDENTIAL, 1)
    assert log.view.get(CREDENTIALS, "openai-default") is not None


async def test_a_second_start_records_nothing_and_shows_no_secret(log: PostgresLog) -> None:
    await start(log, EVERYTHING)
    position = log.position
    assert await start(log, EVERYTHING) is None
    assert log.position == position


async def test_a_secret_that_is_given_is_used_and_not_shown(log: PostgresLog) -> None:
    assert await start(log, Wanted(admin_secret="pk_test_" + "a" * 24)) is None
    key = log.view.get(API_KEYS, ADMIN_KEY)
    assert key is not None
    assert key.secret_sha256 == digest_of("pk_test_" + "a" * 24)


async def test_what_people_took_away_stays_away(log: PostgresLog) -> None:
    await start(log, EVERYTHING)
    for command in (
        RevokeApiKey(api_key_id=ADMIN_KEY),
        RetireModel(model_id=LOCAL_MODEL),
        DeleteCredential(credential_id=OPENAI.credential_id),
    ):
        await log.submit(command, by="key:admin", correlation_id="r")
    position = log.position
    await start(log, EVERYTHING)
    assert log.position == position


async def test_settings_that_changed_since_are_pointed_out(log: PostgresLog, caplog: pytest.LogCaptureFixture) -> None:
    await start(log, Wanted(admin_secret="pk_test_" + "a" * 24, credentials=[OPENAI]))
    elsewhere = OPENAI.model_copy(update={"endpoint": "https://two.example/v1"})
    point_out_changes(log, Wanted(admin_secret="pk_test_" + "b" * 24, credentials=[elsewhere]))
    first, second = caplog.messages
    assert first.startswith("ADMIN_API_KEY is not the secret")
    assert second.startswith("the credential openai-default keeps the address")
    assert "bbbb" not in caplog.text
