"""/admin/credentials: how the gateway signs in to providers. Until secrets are stored, they are read from environment variables."""

import re
from typing import Any, Final

from aiohttp import web

from application.freshness import caught_up
from application.world import World
from domain.credential.commands import AddCredential, ChangeCredential, DeleteCredential
from domain.credential.credential import Credential, Status, decider
from domain.errors import Conflict, Invalid
from domain.ids import ORG_DEFAULT
from domain.model.model import MODELS, Model
from domain.provider import canonical
from entrypoints.http.authentication import asker
from entrypoints.http.keys import WORLD
from entrypoints.http.routing import Resource, all_of, command, deleted, one_of, query, shown_after, submit, wire_names
from entrypoints.http.wire import Body, Row, answer, checked
from projections import credentials

VARIABLE: Final = re.compile(r"(?!ADMIN_API_KEY)[A-Z][A-Z0-9_]{0,90}_API_KEY", re.ASCII)
"""Only variables that hold a provider's key by their name: whoever adds a credential sends its secret wherever they like."""

WITH_SECRET: Final = frozenset({"openai", "anthropic", "azure_openai", "pinecone", "http_api_key"})
"""Types that can't do without."""
UNSAID: Final = {"aws_bedrock": "aws"}
"""Where a secret is read from that nobody names, if anywhere: for AWS, wherever its own tools would look."""

PROVIDERS: Final = {
    "openai": "OpenAI, and whatever speaks its API at another endpoint",
    "anthropic": "Anthropic",
    "azure_openai": "Azure OpenAI; endpoint: the resource's address, with /openai/v1 or an api-version in its query if need be",
    "aws_bedrock": "AWS Bedrock; endpoint: the region, or an address; secret: an API key, or JSON with AWS's keys, or AWS's default chain",
    "pgvector": "PostgreSQL with pgvector; the secret is the connection string",
    "aws_knowledge_base": "AWS Bedrock knowledge bases",
    "pinecone": "Pinecone",
}


def row(_world: World, credential_id: str, credential: Credential | credentials.Credential) -> Row:
    return {
        "id": credential_id,
        "name": credential.name,
        "credential_type": credential.credential_type,
        "api_key_env": credential.secret.name or None,
        "endpoint": credential.endpoint,
        "deployment": credential.deployment,
        "header_value": credential.header_value,
        "enabled": credential.status == Status.ENABLED,
        "created_at": credential.created_at,
        "updated_at": credential.updated_at,
    }


CREDENTIAL: Final = Resource[Credential](
    plural="credentials",
    noun="credential",
    decider=decider,
    row=row,
    exists=lambda credential: credential.status is not Status.DELETED,
    select=lambda _world, connection, credential_id: credentials.select(connection, ORG_DEFAULT, credential_id),
    clearable=frozenset({"endpoint", "deployment", "header_value"}),
)


def added(body: Body) -> Body:
    kind, fields = body.get("credential_type"), changed(body)
    if "secret" not in fields and isinstance(kind, str) and canonical(kind) in WITH_SECRET:
        raise Invalid(f"api_key: a credential of type {canonical(kind)} needs a secret; name its variable in api_key_env", param="api_key")
    return {"secret": {"source": UNSAID.get(canonical(str(kind)), "none")}, **fields}


def changed(body: Body) -> Body:
    """`secret` is the command's field and not the wire's: there it would name any variable."""
    if "api_key" in body:
        raise Invalid("api_key: secrets are not stored yet; name the environment variable that holds it in api_key_env", param="api_key")
    fields = {name: value for name, value in body.items() if name != "secret"}
    return {**fields, "secret": secret_source(body["api_key_env"])} if "api_key_env" in body else fields


def secret_source(variable: Any) -> Body:
    if not (isinstance(variable, str) and VARIABLE.fullmatch(variable)):
        raise Invalid("api_key_env: must be an environment variable whose name ends with _API_KEY", param="api_key_env")
    return {"source": "environment", "name": variable}


async def remove(request: web.Request) -> web.Response:
    who, world = await asker(request), request.app[WORLD]
    asked = checked(DeleteCredential, request.match_info, wire_names(CREDENTIAL))
    await caught_up(world.log)
    users = [model_id for model_id, model in world.log.view.items(MODELS) if uses(model, asked.credential_id)]
    if users:
        raise Conflict(f"Credential {asked.credential_id} is used by the model {min(users)}")
    return shown_after(request, CREDENTIAL, asked, await submit(request, who, asked), deleted)


def uses(model: Model, credential_id: str) -> bool:
    return model.content.credential_id == credential_id and not model.retired


async def providers(request: web.Request) -> web.Response:
    await asker(request)
    return answer({"providers": [{"provider_type": name, "description": description} for name, description in PROVIDERS.items()]})


ROUTES: Final = (
    query("/admin/credentials", all_of(CREDENTIAL), credentials),
    web.get("/admin/credentials/providers", providers),
    query("/admin/credentials/{credential_id}", one_of(CREDENTIAL), credentials),
    command("POST", "/admin/credentials", AddCredential, CREDENTIAL, translate=added),
    command("PUT", "/admin/credentials/{credential_id}", ChangeCredential, CREDENTIAL, translate=changed),
    web.delete("/admin/credentials/{credential_id}", remove),
)
