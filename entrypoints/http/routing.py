"""Routes as tables: `command` asks for a change, `query` shows. Whatever is odd is an ordinary function beside them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from aiohttp import hdrs, web

from application.freshness import caught_up
from application.ports import Committed
from application.world import World
from domain.errors import Invalid, NotFound, Unavailable
from domain.fold import VERSIONS
from domain.ids import ORG_DEFAULT, Slug
from domain.kernel import Command, Decider, stream_name
from entrypoints.http.authentication import Asker, asker
from entrypoints.http.conditions import entity_tag, expected_version, idempotency
from entrypoints.http.headers import request_id
from entrypoints.http.keys import WORLD
from entrypoints.http.wire import Body, Row, answer, checked, read_object

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Resource(Generic[S]):
    """What the routes of one kind of thing share."""

    plural: str
    """The key of its list."""
    noun: str
    decider: Decider[S]
    row: Callable[[World, str, S], Row]
    exists: Callable[[S], bool]
    clearable: frozenset[str] = frozenset()
    """Fields that a PUT clears by null; in all others null means: as it is."""
    wire_names: Mapping[str, str] = field(default_factory=dict)
    """From fields of commands to those on the wire, where these differ."""


class Shown(NamedTuple):
    row: Row
    version: int | None = None
    """Of the thing, where one thing is shown."""


Show = Callable[[World, str, Any], Row]
Translate = Callable[[Body], Body]
"""From the fields of a body to those of the command, where the contract's shape differs."""


def query(path: str, ask: Callable[..., Shown]) -> web.RouteDef:
    """`ask(world, **names in the path)`, when this process has folded the log to its end."""

    async def handle(request: web.Request) -> web.Response:
        await asker(request)
        stale = await _staleness(request.app[WORLD])
        shown = ask(request.app[WORLD], **request.match_info)
        return answer(shown.row, headers=stale | _tag(shown.version))

    return web.get(path, handle)


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


def all_of(resource: Resource[S]) -> Callable[[World], Shown]:
    def ask(world: World) -> Shown:
        rows = [resource.row(world, identity, state) for identity, state in present(world, resource)]
        return Shown({resource.plural: rows, "total": len(rows)})

    return ask


def one_of(resource: Resource[S]) -> Callable[..., Shown]:
    def ask(world: World, **names: str) -> Shown:
        identity = well_formed(resource, names[resource.decider.identity])
        state = found(world, resource, identity)
        version = world.log.view.get(VERSIONS, stream_name(ORG_DEFAULT, resource.decider.category, identity))
        return Shown(resource.row(world, identity, state), version)

    return ask


def present(world: World, resource: Resource[S]) -> list[tuple[str, S]]:
    entries = world.log.view.items(resource.decider.kind)
    return sorted(((identity, state) for identity, state in entries if resource.exists(state)), key=itemgetter(0))


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


async def _staleness(world: World) -> dict[str, str]:
    """An answer that may be behind says so, rather than none."""
    try:
        await caught_up(world.log)
    except Unavailable:
        return {"x-gateway-stale": "unknown"}
    return {}
