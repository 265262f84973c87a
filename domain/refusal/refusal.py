"""The rule of a report of refusals: it is recorded once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.kernel import Decider, Recorded
from domain.refusal.commands import RecordRefusals
from domain.refusal.events import AdmissionsRefused
from domain.state import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    count: int


REPORTS: Final = Kind[str, Report]("refusal")


def decide(command: RecordRefusals, report: Report | None, now: datetime) -> Iterator[AdmissionsRefused]:
    if report is None:
        yield AdmissionsRefused(
            api_key_id=command.api_key_id,
            rule=command.rule,
            count=command.count,
            window_s=command.window_s,
            first_request_id=command.first_request_id,
        )


def evolve(report: Report | None, recorded: Recorded[Any]) -> Report | None:
    match recorded.event:
        case AdmissionsRefused(count=count):
            return Report(count=count)
    return report


decider = Decider[Report](
    category="refusal",
    identity="refusal_id",
    kind=REPORTS,
    commands=(RecordRefusals,),
    events=(AdmissionsRefused,),
    decide=decide,
    evolve=evolve,
    resident=False,
)
