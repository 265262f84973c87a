"""Teams, keys, credentials, models: events in, rows out."""

from datetime import timedelta
from typing import Any

import psycopg

from domain.model.events import ModelContent
from projections import api_keys, credentials, models, teams
from tests import examples as a
from tests.projections.handwritten import BEGAN, HandwrittenLog, projected

Connection = psycopg.AsyncConnection[Any]


async def test_a_team_is_what_was_last_said_of_it(log: HandwrittenLog, connection: Connection) -> None:
    log.write(("team/b", a.team_created(name="B")), ("team/a", a.team_created(name="A", description=None)))
    log.write(("team/a", a.team_renamed(name="A2")), ("team/a", a.team_suspended()))
    projected(log.url)
    first, second = await teams.select(connection, "main")
    assert first == teams.Team("a", "A2", None, "suspended", BEGAN + timedelta(seconds=2), BEGAN + timedelta(seconds=4), 3)
    assert (second.id, second.name) == ("b", "B")
    log.write(("team/a", a.team_activated()), ("team/a", a.team_described(description="D")), ("team/b", a.team_deleted()))
    projected(log.url)
    (only,) = await teams.select(connection, "main")
    assert (only.status, only.description, only.version) == ("active", "D", 5)
    assert await teams.select(connection, "main", "b") == []
    assert await teams.select(connection, "other", "a") == []


async def test_a_team_that_is_made_again_begins_anew_and_goes_on_in_its_stream(log: HandwrittenLog, connection: Connection) -> None:
    log.write(("team/a", a.team_created(description="old")), ("team/a", a.team_deleted()), ("team/a", a.team_renamed(name="ghost")))
    log.write(("team/a", a.team_created(name="New", description=None)))
    projected(log.url)
    (team,) = await teams.select(connection, "main", "a")
    assert (team.name, team.description, team.version, team.created_at) == ("New", None, 4, BEGAN + timedelta(seconds=4))


async def test_a_key_has_its_permissions_and_when_it_was_last_used(log: HandwrittenLog, connection: Connection) -> None:
    log.write(("api-key/notebook", a.api_key_issued()))
    projected(log.url)
    (key,) = await api_keys.select(connection, "main")
    assert (key.status, key.last_used_at, key.key_prefix) == ("active", None, "pk_test_Zm9vYmFy")
    assert (key.permissions["models"], key.rate_limits["parallel_requests"]) == ({"specific": ["gpt-4o"]}, 10)
    log.write(("completion/c", a.completion_admitted()), ("api-key/notebook", a.api_key_permissions_changed()))
    log.write(("completion/d", a.completion_admitted()), ("api-key/notebook", a.api_key_expiry_changed(expires_at=None)))
    projected(log.url)
    (key,) = await api_keys.select(connection, "main", "notebook")
    assert (key.permissions["models"], key.expires_at, key.version) == ("all", None, 3)
    assert key.last_used_at == BEGAN + timedelta(seconds=4)
    log.write(("api-key/notebook", a.api_key_revoked()))
    projected(log.url)
    assert (await api_keys.select(connection, "main"))[0].status == "revoked"


async def test_no_secret_reaches_a_read_model(log: HandwrittenLog, connection: Connection) -> None:
    log.write(("api-key/k", a.api_key_issued()), ("credential/c", a.credential_added()))
    projected(log.url)
    shown = repr([*await api_keys.select(connection, "main"), *await credentials.select(connection, "main")])
    assert a.api_key_issued().secret_sha256 not in shown


async def test_a_credential_says_where_its_secret_is(log: HandwrittenLog, connection: Connection) -> None:
    log.write(
        ("credential/c", a.credential_added()), ("credential/c", a.credential_secret_changed()), ("credential/c", a.credential_disabled())
    )
    log.write(("credential/c", a.credential_endpoint_changed()))
    projected(log.url)
    (credential,) = await credentials.select(connection, "main")
    assert (credential.status, credential.secret.name, credential.deployment) == ("disabled", "OPENAI_API_KEY_2", "west")


async def test_a_model_has_the_price_in_force_and_counts_changes_of_its_configuration(log: HandwrittenLog, connection: Connection) -> None:
    content: ModelContent = a.model_content()
    renamed = content.model_copy(update={"name": "Renamed"})
    reconfigured = renamed.model_copy(update={"config": a.model_config(temperature=0.1)})
    log.write(
        ("model/m", a.model_published(content=content)), ("model/m", a.model_priced()), ("model/m", a.model_published(content=renamed))
    )
    log.write(("model/m", a.model_published(content=reconfigured)))
    projected(log.url)
    (model,) = await models.select(connection, "main")
    assert (model.content, model.config_version, model.version) == (reconfigured, 2, 4)
    assert model.price(BEGAN) == a.price()
    log.write(("model/m", a.model_retired()), ("model/m", a.model_published(content=reconfigured)))
    projected(log.url)
    (model,) = await models.select(connection, "main", "m")
    assert (model.price(BEGAN), model.config_version, model.created_at) == (None, 2, BEGAN + timedelta(seconds=6))
