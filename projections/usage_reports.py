"""What is asked of usage: records, sums and days, over any span to the second.

Whole hours come from `usage`, the parts of hours at a span's ends from the completions themselves. Both advance in the same
transactions, so they add up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from domain.price import ANSWER, PROMPT
from projections.completions import COMPLETIONS
from projections.reading import Connection, Page, fetched, page_of
from projections.usage import DELETED, HOURS, TOKENS

BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
END: Final = datetime.max.replace(tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whose usage, and when it ended: at `since` or later, before `until`."""

    org: str
    api_key_id: str | None = None
    team_id: str | None = None
    model_id: str | None = None
    since: datetime = BEGINNING
    until: datetime = END


WHOSE: Final = ("api_key_id", "team_id", "model_id")


class Record(NamedTuple):
    """One completion that has ended."""

    id: str
    kind: str
    status: str
    api_key_id: str
    team_id: str
    model_id: str
    input_tokens: int
    output_tokens: int
    cost_nanos: int | None
    latency_ms: int
    end_reason: str
    settled_at: datetime
    settled_position: int


class Sums(NamedTuple):
    requests: int = 0
    successes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0
    latency_ms: int = 0

    def plus(self, other: "Sums") -> "Sums":
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Day(NamedTuple):
    begins: datetime
    """Midnight, UTC."""
    sums: Sums


OF_HOURS: Final = (
    f"requests, successes, {' + '.join(TOKENS[category] for category in PROMPT)} AS input_tokens, "
    f"{' + '.join(TOKENS[category] for category in ANSWER)} AS output_tokens, cost_nanos, latency_ms"
)
After = tuple[datetime, int]
"""The last record of the page before: when it ended, and where in the log."""


async def records(connection: Connection, wanted: Wanted, *, after: After | None, offset: int, limit: int) -> Page[Record]:
    """The youngest first."""
    wanted = await _kept(connection, wanted)
    statement = f"""
        SELECT {", ".join(Record._fields)} FROM {COMPLETIONS.name}
        WHERE settled_at >= %(since)s AND settled_at < %(until)s {_whose(wanted)}
          {"AND (settled_at, settled_position) < (%(after_at)s, %(after_position)s)" if after else ""}
        ORDER BY settled_at DESC, settled_position DESC OFFSET %(offset)s LIMIT %(limit)s
    """  # noqa: S608
    at, position = after or (None, None)
    asked = _values(wanted) | {"after_at": at, "after_position": position, "offset": offset, "limit": limit + 1}
    return page_of(await fetched(connection, Record, statement, asked), limit)


async def days(connection: Connection, wanted: Wanted) -> list[Day]:
    """Those in which anything was used, in order."""
    wanted = await _kept(connection, wanted)
    sources = " UNION ALL ".join(_sources(wanted))
    statement = f"""
        SELECT date_trunc('day', at, 'UTC'), {", ".join(f"sum({name})::bigint" for name in Sums._fields)}
        FROM ({sources}) AS used GROUP BY 1 ORDER BY 1
    """  # noqa: S608
    cursor = await connection.execute(statement.encode(), _values(wanted) | _hours(wanted))
    return [Day(day, Sums(*amounts)) for day, *amounts in await cursor.fetchall()]


def total(found: list[Day]) -> Sums:
    sums = Sums()
    for day in found:
        sums = sums.plus(day.sums)
    return sums


async def count(connection: Connection, wanted: Wanted) -> int:
    """How many records there are or were, deleted or not."""
    span = "settled_at >= %(since)s AND settled_at < %(until)s"
    statement = f"SELECT count(*) FROM {COMPLETIONS.name} WHERE {span} {_whose(wanted)}"  # noqa: S608
    found = await (await connection.execute(statement.encode(), _values(wanted))).fetchone()
    assert found is not None
    return int(found[0])


async def _kept(connection: Connection, wanted: Wanted) -> Wanted:
    """Without what is deleted."""
    statement = f"SELECT before FROM {DELETED.name} WHERE org = %s"  # noqa: S608
    found = await (await connection.execute(statement.encode(), (wanted.org,))).fetchone()
    if found is None:
        return wanted
    values = {name: getattr(wanted, name) for name in Wanted.__slots__}
    return Wanted(**values | {"since": max(wanted.since, found[0])})


def _sources(wanted: Wanted) -> Iterator[str]:
    """Without a whole hour within the span, all of it is an edge."""
    whole = _hours(wanted)
    if whole["first"] < whole["last"]:
        yield f"SELECT hour AS at, {OF_HOURS} FROM {HOURS.name} WHERE hour >= %(first)s AND hour < %(last)s {_whose(wanted)}"  # noqa: S608
        yield _edge("settled_at >= %(since)s AND settled_at < %(first)s", wanted)
        yield _edge("settled_at >= %(last)s AND settled_at < %(until)s", wanted)
    else:
        yield _edge("settled_at >= %(since)s AND settled_at < %(until)s", wanted)


def _edge(span: str, wanted: Wanted) -> str:
    return f"""
        SELECT settled_at AS at, 1 AS requests, (status = 'settled')::int AS successes, input_tokens, output_tokens,
               coalesce(cost_nanos, 0) AS cost_nanos, latency_ms
        FROM {COMPLETIONS.name} WHERE {span} {_whose(wanted)}
    """  # noqa: S608


def _hours(wanted: Wanted) -> dict[str, datetime]:
    """The whole hours within the span: from the first, up to before the last."""
    first, last = _floor(wanted.since), _floor(wanted.until) if wanted.until < END else END
    return {"first": first if first == wanted.since else first + HOUR, "last": last}


def _floor(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _whose(wanted: Wanted) -> str:
    return "".join(f" AND {name} = %({name})s" for name in ("org", *WHOSE) if getattr(wanted, name) is not None)


def _values(wanted: Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in ("org", *WHOSE, "since", "until")}
