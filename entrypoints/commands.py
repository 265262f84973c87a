"""The commands of `gateway`, with their options. The work is elsewhere."""

import asyncio
import os
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from application.ports import EventFilter
from domain.ids import ApiKeyId, Slug, TeamId
from domain.team.team import ADMINISTRATORS
from entrypoints import issuing, listing, replaying, serving, stores, verifying
from infra.postgres import check_server
from infra.postgres import migrate as migrate_database
from infra.settings import Settings, describe, load_settings
from infra.telemetry import configure_logging

T = TypeVar("T")
S = TypeVar("S", bound=Slug)

BY: Final = "system:cli"
LAST_SHOWN: Final = 20

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="An LLM gateway whose ledger is the source of truth."
)
keys = typer.Typer(no_args_is_help=True, help="Issue and revoke API keys, whether or not the gateway runs.")
app.add_typer(keys, name="keys")
out, err = Console(), Console(stderr=True)


@app.command()
def serve() -> None:
    """Run the gateway in the foreground. What it does is set by the environment: see `gateway settings`."""
    settings = _settings()
    configure_logging(settings.log_level, settings.log_format, process="supervisor")
    asyncio.run(serving.serve(settings, out))


@app.command()
def demo() -> None:
    """From nothing to a streamed, budgeted, recorded, verified completion."""
    from entrypoints.demo import demo as show  # the SDK takes a second to import, which nobody else should wait for

    _run(show(_settings(), out))


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date. `serve` does it too."""
    with stores.postgres(_settings()) as url:
        check_server(url)
        applied = migrate_database(url)
    out.print(f"Applied {', '.join(applied)}." if applied else "The schema is up to date.")


@app.command(name="settings")
def show_settings() -> None:
    """Show every setting: its environment variable, value, default and meaning. Secrets are masked."""
    table = Table("variable", "value", "default", "meaning", box=None, header_style="dim")
    for setting in describe(_settings()):
        style = None if setting.value == setting.default else "bold"
        table.add_row(setting.name, setting.value, setting.default, setting.description, style=style)
    out.print(table)


@app.command()
def verify() -> None:
    """Check the whole log: hash chain, limits, that each completion is settled once; and that read models equal it. 1 if not."""
    with stores.log_database(_settings()) as url:
        report = verifying.verified(url, out)
        comparison = replaying.compared(url, out)
    if not report.verified or comparison.differences:
        raise typer.Exit(1)


@app.command()
def replay(
    names: Annotated[list[str] | None, typer.Argument(help="Of read models, such as usage")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All of them")] = False,
) -> None:
    """Build read models again from the log, beside those that are asked meanwhile, and put the new ones in their place."""
    if bool(names) == every:
        raise typer.BadParameter("name the read models to build again, or say --all")
    with stores.log_database(_settings()) as url:
        replaying.replayed(url, names or [], out)


@app.command()
def events(
    *,
    stream: Annotated[str | None, typer.Option(help="Such as main/budget/b1")] = None,
    category: Annotated[str | None, typer.Option(help="Such as budget")] = None,
    topic: Annotated[str | None, typer.Option(help="Such as completion.settled.v1")] = None,
    by: Annotated[str | None, typer.Option(help="Who did it, such as key:admin")] = None,
    correlation_id: Annotated[str | None, typer.Option(help="A request's x-request-id")] = None,
    since: Annotated[datetime | None, typer.Option("--from", help="At this moment (UTC) or later")] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Before this moment (UTC)")] = None,
    after: Annotated[int | None, typer.Option(min=0, help="Beyond this position")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Whole events, a JSON object a line")] = False,
) -> None:
    """Show events of the log: the last 20, or those that are asked for, oldest first."""
    named = {"stream": stream, "category": category, "topic": topic, "by": by, "correlation_id": correlation_id}
    sought = after is not None or since is not None or any(named.values())
    with stores.log_database(_settings()) as url:
        start = after if sought else max(0, listing.head_position(url) - LAST_SHOWN)
        wanted = EventFilter(**named, since=_utc(since), until=_utc(until), after=start or 0, limit=limit)
        line = listing.json_line if as_json else listing.text_line
        _run(listing.list_events(url, wanted, follow=follow, line=line, show=typer.echo))


@keys.command(name="issue")
def issue_key(
    name: Annotated[str, typer.Argument(help="What people call it")],
    *,
    team: Annotated[str, typer.Option(help="The team's id")] = ADMINISTRATORS,
    key_id: Annotated[str | None, typer.Option("--id", help="The key's id; else one is made up")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may administer the gateway")] = False,
    expires_at: Annotated[datetime | None, typer.Option(help="When it ends (UTC)")] = None,
) -> None:
    """Issue an API key and print its secret, which can't be shown again."""
    team_id, api_key_id = _id(TeamId, team), _id(ApiKeyId, key_id) if key_id else None

    async def issued(url: str) -> issuing.Issued:
        async with issuing.opened(url) as log:
            return await issuing.issue(log, name, by=BY, team_id=team_id, api_key_id=api_key_id, admin=admin, expires_at=_utc(expires_at))

    with stores.log_database(_settings()) as url:
        key = _run(issued(url))
    err.print(f"Issued the key {key.api_key_id}. Its secret, shown this once:")
    typer.echo(key.secret)


@keys.command(name="revoke")
def revoke_key(api_key_id: Annotated[str, typer.Argument(help="The key's id")]) -> None:
    """Revoke an API key, for good. What it has begun is finished."""
    revoked_id = _id(ApiKeyId, api_key_id)

    async def revoked(url: str) -> None:
        async with issuing.opened(url) as log:
            await issuing.revoke(log, revoked_id, by=BY)

    with stores.log_database(_settings()) as url:
        _run(revoked(url))
    err.print(f"Revoked the key {api_key_id}.")


def _settings() -> Settings:
    return load_settings(os.environ)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Interrupted, it raises once everything has been taken down."""
    return uvloop.run(work)


def _id(kind: type[S], text: str) -> S:
    try:
        return kind.parse(text)
    except ValueError as broken:
        raise typer.BadParameter(f"{text}: {broken}") from None


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)
