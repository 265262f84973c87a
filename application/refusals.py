"""Refused requests are counted per key and rule until they are reported: a trace in the log that nobody can flood it with."""

import asyncio
from dataclasses import dataclass
from typing import Final

from application.ports import Clock
from domain.errors import BudgetExceeded, Forbidden, Invalid, NotFound, RateLimited, Refusal, Unauthenticated
from domain.ids import ApiKeyId, RefusalId
from domain.refusal.commands import RecordRefusals

COUNTERS_MAX: Final = 10_000
"""Beyond it, keys are not told apart any more."""

Which = tuple[ApiKeyId | None, str]
"""Whom a rule refused (None: nobody that is known), and the rule."""


@dataclass(slots=True)
class Counter:
    since: float
    """By the process's monotonic clock."""
    told: bool = False
    """Whether a report went out already: the first refusal is reported at once, the others with the minute."""
    count: int = 0
    first_request_id: str = ""


class Refusals:
    """What this process has refused lately and not recorded yet."""

    __slots__ = ("_first", "counters", "reports")

    def __init__(self) -> None:
        self.counters: dict[Which, Counter] = {}
        self.reports: dict[RefusalId, RecordRefusals] = {}
        """Made, and not known to be recorded."""
        self._first = asyncio.Event()

    def count(self, api_key_id: ApiKeyId | None, refusal: Refusal, request_id: str, at: float) -> None:
        rule = rule_of(refusal)
        if rule is None:
            return
        counter = self._counter((api_key_id, rule), at)
        counter.first_request_id = counter.first_request_id or request_id
        counter.count += 1
        if not counter.told:
            self._first.set()

    def _counter(self, which: Which, at: float) -> Counter:
        if which not in self.counters and len(self.counters) >= COUNTERS_MAX:
            which = (None, which[1])
        return self.counters.setdefault(which, Counter(at))

    async def until_first(self) -> None:
        """Returns when there is one to be reported at once."""
        await self._first.wait()

    def draw(self, clock: Clock, *, minute_over: bool) -> None:
        """Turn counts into reports: the first ones, or with the minute all of them. A counter that then has nothing new is dropped."""
        self._first.clear()
        now = clock.monotonic()
        for which, counter in list(self.counters.items()):
            if counter.count and (minute_over or not counter.told):
                report = _report(RefusalId(str(clock.uuid7())), which, counter, now)
                self.reports[report.refusal_id] = report
                self.counters[which] = Counter(now, told=True)
            elif minute_over:
                del self.counters[which]


def rule_of(refusal: Refusal) -> str | None:
    """None where no rule refused: the request is malformed, or the gateway can't decide."""
    match refusal:
        case RateLimited(limit=limit):
            return limit
        case Unauthenticated():
            return "unauthenticated"
        case BudgetExceeded():
            return "budget"
        case Forbidden(code=str(code)) | NotFound(code=str(code)) | Invalid(code="price_unknown" as code):
            return code
    return None


def _report(refusal_id: RefusalId, which: Which, counter: Counter, now: float) -> RecordRefusals:
    api_key_id, rule = which
    return RecordRefusals(
        refusal_id=refusal_id,
        api_key_id=api_key_id,
        rule=rule,
        count=counter.count,
        window_s=round(now - counter.since),
        first_request_id=counter.first_request_id,
    )
