"""Routes as tables: `command` asks for a change, `query` asks the read models. Whatever is odd is an ordinary function beside them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from aiohttp import hdrs, web

from adapters.projecting.advancing import ReadModel
from adapters.read_models import Connection
from application.freshness import confirmed
from application.ports import Committed
from application.world import World
from domain.errors import Invalid, NotFound
from domain.ids import Slug
from domain.kernel import Command, Decider
from entrypoints.http.authentication import Asker, asker
from entrypoints.http.conditions import entity_tag, expected_version, idempotency
from entrypoints.http.headers import request_id
from entrypoints.http.keys import READ_MODELS, WORLD
from entrypoints.http.wire import Body, Row, answer, checked, read_object

S = TypeVar("S")


class Entity(Protocol):
    """A row of a read model."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...


Select = Callable[[World, Connection, str | None], Awaitable[Sequence[Entity]]]
"""All of a kind, or the one with this id."""


@dataclass(frozen=True, kw_only=True)
class Resource(Generic[S]):
    """What the routes of one kind of thing share."""

    plural: str
    """The key of its list."""
    noun: str
    decider: Decider[S]
    row: Callable[[World, str, Any], Row]
    """Of what a decider made of it, or of a row of its read model: they have the same fields."""
    exists: Callable[[S], bool]
    select: Select
    clearable: frozenset[str] = frozenset()
    """Fields that a PUT clears by null; in all others null means: as it is."""
    wire_names: Mapping[str, str] = field(default_factory=dict)
    """From fields of commands to those on the wire, where these differ."""


class Question(NamedTuple):
    """What is asked of read models, and by what."""

    world: World
    connection: Connection
    names: Mapping[str, str]
    """Those in the path."""
    said: Mapping[str, str]
    """The query string."""


class Shown(NamedTuple):
    row: Row
    version: int | None = None
    """Of the thing, where one thing is shown."""


Ask = Callable[[Question], Awaitable[Shown]]


Show = Callable[[World, str, Any], Row]
Translate = Callable[[Body], Body]
"""From the fields of a body to those of the command, where the contract's shape differs."""


def query(path: str, ask: Ask, *reads: ReadModel) -> web.RouteDef:
    """Of the read models that it reads, when they have come to the log's end."""

    async def handle(request: web.Request) -> web.Response:
        await asker(request)
        async with asking(request, *reads) as (question, headers):
            shown = await ask(question)
        return answer(shown.row, headers=headers | _tag(shown.version))

    return web.get(path, handle)


@asynccontextmanager
async def asking(request: web.Request, *reads: ReadModel) -> AsyncIterator[tuple[Question, dict[str, str]]]:
    """A question, and the headers of its answer: one that is behind the log says by how many events."""
    async with request.app[READ_MODELS].reading(*reads) as (connection, stale):
        question = Question(request.app[WORLD], connection, request.match_info, request.query)
        yield question, {"x-gateway-stale": str(stale)} if stale else {}


def command(
    method: str,
    path: str,
    ask: type[Command],
    of: Resource[Any],
    *,
    translate: Translate = dict,
    show: Show | None = None,
) -> web.RouteDef:
    """The body, with the names in the path, is the command; the answer is the thing as it is then."""

    async def handle(request: web.Request) -> web.Response:
        who = await asker(request)
        asked = checked(ask, {**translate(await fields_of(request, of)), **request.match_info}, wire_names(of))
        return shown_after(request, of, asked, await submit(request, who, asked), show)

    return web.route(method, path, handle)


def all_of(resource: Resource[S]) -> Ask:
    async def ask(question: Question) -> Shown:
        found = await resource.select(question.world, question.connection, None)
        rows = [resource.row(question.world, each.id, each) for each in found]
        return Shown({resource.plural: rows, "total": len(rows)})

    return ask


def one_of(resource: Resource[S]) -> Ask:
    async def ask(question: Question) -> Shown:
        entity = await one(resource, question)
        return Shown(resource.row(question.world, entity.id, entity), entity.version)

    return ask


async def one(resource: Resource[Any], question: Question) -> Any:
    """The one that the path names. Raises Invalid and NotFound."""
    identity = well_formed(resource, question.names[resource.decider.identity])
    entities = await resource.select(question.world, question.connection, identity)
    if not entities:
        raise NotFound(f"There is no {resource.noun} {identity}")
    return entities[0]


def well_formed(resource: Resource[Any], identity: str) -> str:
    """By the rule of the id's own type, which the resource's commands name."""
    id_type = resource.decider.commands[0].model_fields[resource.decider.identity].annotation
    assert isinstance(id_type, type)
    assert issubclass(id_type, Slug)
    try:
        return id_type.parse(identity)
    except ValueError as broken:
        raise Invalid(f"id: {broken}", param="id") from None


def found(world: World, resource: Resource[S], identity: str) -> S:
    state = world.log.view.get(resource.decider.kind, identity)
    if state is None or not resource.exists(state):
        raise NotFound(f"There is no {resource.noun} {identity}")
    return state


async def check_named(world: World, resource: Resource[Any], identity: str, param: str) -> None:
    """Refuses a body that names, in `param`, what isn't there."""
    try:
        await confirmed(world.log, lambda: found(world, resource, identity))
    except NotFound as unknown:
        raise Invalid(unknown.message, param=param) from None


async def fields_of(request: web.Request, of: Resource[Any]) -> dict[str, Any]:
    """The body's fields, `id` under the command's name for it, which means nothing on the wire. Neither does the body of a DELETE."""
    if request.method == hdrs.METH_DELETE:
        return {}
    identity, kept = of.decider.identity, of.clearable if request.method == hdrs.METH_PUT else frozenset()
    body = await read_object(request)
    said = {name: value for name, value in body.items() if name != identity and (value is not None or name in kept)}
    return {identity: said["id"], **said} if "id" in said else said


async def submit(request: web.Request, who: Asker, asked: Command, *, step: str = "") -> Committed:
    """`step` names what a request asks for besides its first command, which alone is subject to If-Match."""
    return await request.app[WORLD].log.submit(
        asked,
        by=who.by,
        correlation_id=request_id(request),
        expected_version=None if step else expected_version(request),
        idempotency=await idempotency(request, who.by, step),
    )


def shown_after(request: web.Request, of: Resource[Any], asked: Command, done: Committed, show: Show | None = None) -> web.Response:
    """A repeated request answers with what the first one made, which has the first one's id where ids are minted."""
    world, identity, state = request.app[WORLD], of.decider.stream_id(asked), done.state
    if done.repeated and done.events and done.events[0].id != identity:
        identity = done.events[0].id
        state = found(world, of, identity)
    return answer((show or of.row)(world, identity, state), headers=of_commit(done))


def deleted(_world: World, identity: str, _state: object) -> Row:
    return {"deleted": True, "id": identity}


def of_commit(done: Committed) -> dict[str, str]:
    return {"x-gateway-position": str(done.position)} | _tag(done.version)


def wire_names(of: Resource[Any]) -> Mapping[str, str]:
    return {of.decider.identity: "id", **of.wire_names}


def _tag(version: int | None) -> dict[str, str]:
    return {} if version is None else {hdrs.ETAG: entity_tag(version)}
