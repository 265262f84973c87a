"""Long streams say now and then how far they have come: what recovery charges, should this process die."""

import asyncio
from contextlib import suppress
from typing import Final

from application.attempts import Attempt
from application.world import World
from domain.completion.commands import ReportProgress
from domain.errors import Refusal
from domain.ids import CompletionId

REPORT_EVERY_S: Final = 30.0


class Progress:
    """One timer, set anew when it fires, so that the stream's events cost nothing."""

    __slots__ = ("_attempt", "_by", "_completion_id", "_correlation_id", "_reported", "_timer", "_world")

    def __init__(self, world: World, completion_id: CompletionId, attempt: Attempt, *, by: str, correlation_id: str) -> None:
        self._world = world
        self._completion_id = completion_id
        self._attempt = attempt
        self._by = by
        self._correlation_id = correlation_id
        self._reported = 0
        self._timer = asyncio.get_running_loop().call_later(REPORT_EVERY_S, self._report)

    def stop(self) -> None:
        self._timer.cancel()

    def _report(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REPORT_EVERY_S, self._report)
        parser = self._attempt.parser
        if parser is not None and parser.output_tokens_seen > self._reported:
            self._reported = parser.output_tokens_seen
            self._world.runs.begin(self._submit(self._reported))

    async def _submit(self, output_tokens: int) -> None:
        command = ReportProgress(completion_id=self._completion_id, output_tokens=output_tokens)
        with suppress(Refusal):  # the next report, or the settlement, says more
            await self._world.log.submit(command, by=self._by, correlation_id=self._correlation_id)
