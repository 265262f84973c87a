"""A chat completion from end to end: admitted, called, settled. One path for plain answers and streams."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from application.attempts import Attempt, Client, Ending
from application.calling import call
from application.end_users import EndUser, introduction
from application.freshness import confirmed
from application.ports import ChatCall, Idempotency
from application.progress import Progress
from application.prompt_bound import prompt_tokens_bound
from application.settling import settle, settle_if_admitted
from application.world import World
from domain.admission.directory import Caller, find_model
from domain.admission.rules import refuse_at_once
from domain.completion.commands import AdmitCompletion, SettleCompletion
from domain.completion.events import CompletionAdmitted, CompletionSettled, EndReason
from domain.errors import Conflict, Unavailable, Unconfirmed
from domain.ids import CompletionId, ModelId
from domain.model.model import Model

ANSWER_WAITS_S: Final = 0.1
"""For its settlement, at most; then it goes out while the settlement goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a client asks for."""

    request_id: str
    caller: Caller
    model_id: str
    body: dict[str, Any]
    output_cap: int | None
    choices: int
    stream: bool
    include_usage: bool
    received_at: float
    """By the world's monotonic clock."""
    end_user: EndUser | None = None
    idempotency: Idempotency | None = None
    request_digest: bytes | None = None
    """An HMAC of what was sent."""


async def asked(world: World, ask: Ask) -> "Run":
    """What can be refused at once is refused here, before anything is recorded; a 'no' is given after reading the log to its end."""
    if world.runs.full:
        raise Unavailable("Too many completions wait to be recorded. Try again shortly.")

    model = await confirmed(world.log, lambda: find_model(world.log.view, ask.caller, ask.model_id, world.clock.now()))
    refuse_at_once(world.log.view, ask.caller.api_key_id, world.log.time())
    return Run(world, ask, model)


def _asked_before(completion_id: str) -> Conflict:
    message = (
        f"This Idempotency-Key was used for the same request: it is the completion {completion_id}, which is not charged again. "
        "Answers are not kept; use another key to ask anew."
    )
    return Conflict(message, code="idempotency_key_in_use")


class Run:
    """One completion under way, in a task of its own: its client may leave, but what was admitted is settled."""

    __slots__ = ("_calling", "_gone", "_task", "admitted", "answered", "ask", "attempt", "completion_id", "model", "settled", "world")

    def __init__(self, world: World, ask: Ask, model: Model) -> None:
        self.world = world
        self.ask = ask
        self.model = model
        self.completion_id = CompletionId(str(world.clock.uuid7()))
        self.admitted: CompletionAdmitted | None = None
        self.attempt: Attempt | None = None
        self.settled: CompletionSettled | None = None
        self.answered: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        """Done when the last byte may go out; holds a Refusal where nothing was admitted."""
        self._task: asyncio.Task[None] | None = None
        self._calling = False
        self._gone = False

    def begin(self, client: Client | None) -> None:
        """`client`: where a stream goes."""
        self._task = self.world.runs.begin(self._run(client))

    def leave(self) -> None:
        """The client is gone. Only the provider's work is cancelled: an admission and a settlement under way are finished."""
        if self._gone:
            return
        self._gone = True
        if self._calling and self._task is not None:
            self._task.cancel()

    @property
    def overhead_ms(self) -> float | None:
        """From the request's receipt to its dispatch to the provider."""
        if self.attempt is None or self.attempt.dispatched_at is None:
            return None
        return round((self.attempt.dispatched_at - self.ask.received_at) * 1000, 3)

    async def _run(self, client: Client | None) -> None:
        self.world.runs.under_way[self.completion_id] = self
        try:
            await self._carry_out(client)
        finally:
            self.world.runs.under_way.pop(self.completion_id, None)

    async def _carry_out(self, client: Client | None) -> None:
        try:
            self.admitted = await self._admit()
        except Exception as error:  # noqa: BLE001 (whoever waits is told)
            if not self.answered.done():
                self.answered.set_exception(error)
            if isinstance(error, Unconfirmed):
                await self._retract()
            return
        self.attempt = self._attempt(self.admitted, client)
        await self._settle(await self._call(self.attempt))

    async def _admit(self) -> CompletionAdmitted:
        ask = self.ask
        text_tokens_bound, image_count = prompt_tokens_bound(ask.body)
        newcomer = introduction(self.world.log.view, self.world.clock, ask.end_user)
        command = AdmitCompletion(
            completion_id=self.completion_id,
            owner=self.world.process_id,
            api_key_id=ask.caller.api_key_id,
            model_id=ask.model_id,
            route=(ModelId(ask.model_id),),
            prompt_text_tokens_bound=text_tokens_bound,
            image_count=image_count,
            choices=ask.choices,
            output_cap=ask.output_cap,
            stream=ask.stream,
            end_user=None if newcomer is None else newcomer.reference,
            end_user_hmac=None if ask.end_user is None else ask.end_user.sought.hmac,
            idempotency_key=None if ask.idempotency is None else ask.idempotency.key.hex(),
            request_digest=None if ask.request_digest is None else ask.request_digest.hex(),
        )
        submit = partial(self.world.log.submit, by=self.by, correlation_id=ask.request_id)
        committed = await submit(command, idempotency=ask.idempotency, then=newcomer)
        if committed.repeated:
            raise _asked_before(committed.events[0].id)
        admitted: CompletionAdmitted = committed.events[0].event
        return admitted

    async def _retract(self) -> None:
        """It was not sent, and may have been admitted all the same."""
        command = SettleCompletion(completion_id=self.completion_id, end_reason=EndReason.NOT_SENT)
        await settle_if_admitted(self.world.log, self.world.runs, command, by=self.by, correlation_id=self.correlation_id)

    def _attempt(self, admitted: CompletionAdmitted, client: Client | None) -> Attempt:
        ask = self.ask
        return Attempt(
            chat=ChatCall(body=ask.body, output_cap=admitted.output_cap, stream=ask.stream),
            model_id=admitted.route[0].model_id,
            include_usage=ask.include_usage,
            prompt_tokens_bound=admitted.prompt_tokens_bound,
            client=client,
            started_at=self.world.clock.monotonic(),
        )

    async def _call(self, attempt: Attempt) -> Ending:
        if self._gone:
            return Ending(EndReason.NOT_SENT, None)
        progress = Progress(self.world, self.completion_id, attempt, by=self.by, correlation_id=self.correlation_id)
        self._calling = True
        ending = await call(self.world, attempt)
        self._calling = False
        progress.stop()
        attempt.client = None
        return ending

    async def _settle(self, ending: Ending) -> None:
        command = SettleCompletion(
            completion_id=self.completion_id,
            end_reason=ending.reason,
            attempts=() if ending.made is None else (ending.made,),
            latency_ms=0 if self.attempt is None else round((self.world.clock.monotonic() - self.attempt.started_at) * 1000),
            overhead_ms=self.overhead_ms,
        )
        late = asyncio.get_running_loop().call_later(ANSWER_WAITS_S, self._answer, ending)
        try:
            committed = await settle(self.world.log, self.world.runs, command, by=self.by, correlation_id=self.correlation_id)
            del self.world.runs.under_way[self.completion_id]  # at once: from here on a rewind is none of its business
            self.settled = next((recorded.event for recorded in committed.events if isinstance(recorded.event, CompletionSettled)), None)
        finally:
            late.cancel()
            self._answer(ending)
            if ending.rest is not None:
                await ending.rest.close()

    def _answer(self, ending: Ending) -> None:
        if not self.answered.done():
            self.answered.set_result(ending)

    @property
    def by(self) -> str:
        return f"key:{self.ask.caller.api_key_id}"

    @property
    def correlation_id(self) -> str:
        return self.ask.request_id
