"""`gateway demo`: a newcomer's first minute. A gateway is started, asked as a customer would ask it, and its ledger shown.

Nothing is staged: the admin API over HTTP, the official SDK, a real model, the real log.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import openai
from openai.types.chat import ChatCompletionUserMessageParam
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.rule import Rule
from rich.table import Table

from adapters.log.auditing import Report, verify
from application.bootstrap import LOCAL_MODEL
from domain.money import usd_text
from entrypoints import issuing
from entrypoints.http.listening import listening
from entrypoints.http.sharing import Tally, tally_file
from entrypoints.listing import head_position
from entrypoints.measuring import Measures
from entrypoints.problems import DemoFailed
from entrypoints.progress import Steps
from entrypoints.serving import bound, url_of
from entrypoints.stopping import on_signals
from entrypoints.stores import standing
from entrypoints.verifying import verdict
from entrypoints.wiring import Gateway, reacting, running
from infra.settings import Settings
from infra.telemetry import configure_logging

HOME: Final = Path(".gateway/demo")
LOG_FILE: Final = "demo.log"
BY: Final = "system:demo"
TEAM: Final = "demo"
BUDGET: Final = "demo"
LIMIT_USD: Final = 0.00008
QUESTION: Final = "What is a ledger? Answer in one sentence."
PLAIN_QUESTION: Final = "Write one short sentence about the sea."
SHORT_QUESTION: Final = "What is 2 plus 2?"
ANSWER_TOKENS_MAX: Final = 60
SHORT_TOKENS_MAX: Final = 16
SHORT_REQUESTS_MAX: Final = 50
"""The budget refuses long before."""
REQUEST_S_MAX: Final = 60.0
EVENTS_MAX: Final = 100
UUID_LENGTH: Final = 36
SHOWN_OF_UUID: Final = 6


@dataclass(frozen=True, slots=True)
class Customer:
    """Who asks: OpenAI's SDK with the key of a team that has a small budget; and an administrator's HTTP client to look with."""

    sdk: openai.AsyncOpenAI
    admin: httpx.AsyncClient
    began_after: int
    """Where the log stood before."""


async def demo(settings: Settings, console: Console) -> None:
    on_signals()
    settings = _own(settings)
    console.print(Rule("[bold]An LLM gateway whose ledger is the source of truth[/bold]", align="left"))
    with Steps(console) as steps, bound(settings.gateway_host, settings.gateway_port) as free_socket:
        url = url_of(free_socket)
        with standing(settings, steps.begin) as ready:
            if not ready.settings.local_model:
                raise DemoFailed(f"The demo needs the local model; {settings.gateway_home / LOG_FILE} says why it does not run")
            steps.begin("log")
            async with alone(ready.settings, free_socket) as gateway, customer_of(gateway, url) as customer:
                steps.end()
                await story(customer, gateway, console)
            steps.begin("everything stopped")
        steps.end()
    console.print(how_to_go_on(settings), highlight=False)


@asynccontextmanager
async def alone(settings: Settings, free_socket: socket.socket) -> AsyncIterator[Gateway]:
    """All that `gateway serve` has several processes for, in this one."""
    with tally_file(1) as tally:
        async with (
            running(settings, Measures()) as gateway,
            reacting(settings, gateway.world),
            listening(gateway, free_socket, Tally(tally.fileno(), 1)),
        ):
            yield gateway


async def story(customer: Customer, gateway: Gateway, console: Console) -> None:
    console.print(f"\n[bold]{QUESTION}[/bold]")
    await ask_streamed(customer.sdk, console)
    plain = await ask(customer.sdk, PLAIN_QUESTION, ANSWER_TOKENS_MAX)
    console.print(f"\n[bold]{PLAIN_QUESTION}[/bold]\n{escape(plain.strip())}\n", highlight=False)

    events = await recorded(customer)
    console.print(
        Columns([titled("What was answered", costs_of(events)), titled("What is left", await budget_of(customer))], padding=(0, 4))
    )
    console.print(titled("What the ledger recorded", table_of(events)))
    console.print(verdict(await verified(gateway)))

    console.print(f"\n[bold]{SHORT_QUESTION}[/bold] Again and again, until the budget says no:")
    await spend_all(customer, console)
    console.print(await budget_of(customer))
    console.print(verdict(await verified(gateway)))


async def ask_streamed(sdk: openai.AsyncOpenAI, console: Console) -> None:
    messages = [ChatCompletionUserMessageParam(role="user", content=QUESTION)]
    stream = await sdk.chat.completions.create(
        model=LOCAL_MODEL, messages=messages, max_tokens=ANSWER_TOKENS_MAX, temperature=0, stream=True
    )
    async for chunk in stream:
        for choice in chunk.choices:
            console.print(choice.delta.content or "", end="", markup=False, highlight=False, soft_wrap=True)
    console.print()


async def ask(sdk: openai.AsyncOpenAI, question: str, max_tokens: int) -> str:
    messages = [ChatCompletionUserMessageParam(role="user", content=question)]
    answer = await sdk.chat.completions.create(model=LOCAL_MODEL, messages=messages, max_tokens=max_tokens, temperature=0)
    return answer.choices[0].message.content or ""


async def spend_all(customer: Customer, console: Console) -> None:
    for number in range(1, SHORT_REQUESTS_MAX + 1):
        try:
            answer = await ask(customer.sdk, SHORT_QUESTION, SHORT_TOKENS_MAX)
        except openai.RateLimitError as refusal:
            console.print(f"  {number:2}. [red]{refusal.status_code} {refusal.code}[/red] {escape(_message(refusal))}", highlight=False)
            return
        console.print(f"  {number:2}. {escape(' '.join(answer.split()))}", highlight=False)
    raise DemoFailed(f"The budget has not refused any of {SHORT_REQUESTS_MAX} requests")


# What the ledger says


async def recorded(customer: Customer) -> list[dict[str, Any]]:
    page = await customer.admin.get("/admin/events", params={"after": customer.began_after, "limit": EVENTS_MAX})
    return list(page.raise_for_status().json()["events"])


def table_of(events: list[dict[str, Any]]) -> Table:
    table = Table("position", "event", "of", "by", "when", box=None, header_style="dim", pad_edge=False)
    for event in events:
        table.add_row(str(event["position"]), event["topic"], _short(event["stream"]), _short(event["by"]), event["at"][11:23])
    return table


def costs_of(events: list[dict[str, Any]]) -> Table:
    table = Table("completion", "tokens in", "out", "cost", box=None, header_style="dim", pad_edge=False)
    for event in events:
        if event["topic"] == "completion.settled.v1":
            usage = event["data"]["attempts"][0]["usage"]
            cost = f"${usd_text(event['data']['cost_nanos'])}"
            table.add_row(_short(event["stream"]), str(usage.get("input", 0) + usage.get("cached_input", 0)), str(usage["output"]), cost)
    return table


async def budget_of(customer: Customer) -> Table:
    budget = (await customer.admin.get(f"/admin/budgets/{BUDGET}")).raise_for_status().json()
    table = Table("budget", "limit", "settled", "held", "free", box=None, header_style="dim", pad_edge=False)
    nanos = [budget[f"{name}_nanos"] for name in ("hard_limit", "settled", "held", "free")]
    table.add_row(BUDGET, *(f"${usd_text(amount)}" for amount in nanos))
    return table


async def verified(gateway: Gateway) -> Report:
    report = await asyncio.to_thread(verify, str(gateway.settings.database_url))
    if not report.verified:
        raise DemoFailed("The log does not add up; `gateway verify` tells more")
    return report


# Before and after


def _own(settings: Settings) -> Settings:
    """Nothing of what is configured but the home: the demo touches no database and no provider that is somebody's."""
    home = HOME if settings.gateway_home == Settings.model_fields["gateway_home"].default else settings.gateway_home
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    configure_logging(settings.log_level, settings.log_format, (home / LOG_FILE).open("a"))
    return Settings(gateway_home=home, gateway_port=0)


@asynccontextmanager
async def customer_of(gateway: Gateway, url: str) -> AsyncIterator[Customer]:
    """Two keys, revoked at the end: an administrator's, for the demo itself, and a team's."""
    log, began_after = gateway.world.log, head_position(str(gateway.settings.database_url))
    administrator = await issuing.issue(log, "Demo administrator", by=BY, admin=True)
    headers = {"Authorization": f"Bearer {administrator.secret}"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=REQUEST_S_MAX, trust_env=False) as admin:
            key = await team_key(admin)
            async with openai.AsyncOpenAI(
                base_url=f"{url}/v1",
                api_key=key["secret"],
                timeout=REQUEST_S_MAX,
                http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
            ) as sdk:
                yield Customer(sdk=sdk, admin=admin, began_after=began_after)
            await admin.post(f"/admin/api-keys/{key['id']}/revoke")
    finally:
        await issuing.revoke(log, administrator.api_key_id, by=BY)


async def team_key(admin: httpx.AsyncClient) -> dict[str, Any]:
    """A key for the demo's team; its budget begins anew each time."""
    await _made(admin, "/admin/teams", {"id": TEAM, "name": "Demo"})
    limits = {"hard_limit_usd": LIMIT_USD, "at_limit": "reject", "team_ids": [TEAM]}
    if not await _made(admin, "/admin/budgets", {"id": BUDGET, "name": "Demo", "period": "lifetime", **limits}):
        (await admin.put(f"/admin/budgets/{BUDGET}", json=limits)).raise_for_status()
        (await admin.post(f"/admin/budgets/{BUDGET}/reset")).raise_for_status()
    asked = {"name": "Demo customer", "team_id": TEAM, "permissions": {}}
    key: dict[str, Any] = (await admin.post("/admin/api-keys", json=asked)).raise_for_status().json()
    return key


async def _made(admin: httpx.AsyncClient, path: str, body: dict[str, Any]) -> bool:
    """False: it was there already."""
    answer = await admin.post(path, json=body)
    if answer.status_code == httpx.codes.CONFLICT:
        return False
    answer.raise_for_status()
    return True


def titled(title: str, content: RenderableType) -> Group:
    return Group(f"[bold]{title}[/bold]", content, "")


def how_to_go_on(settings: Settings) -> str:
    home = f"GATEWAY_HOME={settings.gateway_home}"
    return f"""
[bold]How to go on[/bold]
  [bold]make serve[/bold]  the gateway on 127.0.0.1:8080, for your own SDK and keys
  [bold]{home} .venv/bin/gateway events[/bold]  what was recorded here
  [bold]{home} .venv/bin/gateway verify[/bold]  verify it once more
"""


def _short(name: str) -> str:
    """A stream or an actor without its organisation, a UUIDv7 by its end: their beginnings are alike."""
    kind, separator, identity = re.split(r"([/:])", name.removeprefix("main/"), maxsplit=1)
    return f"{kind}{separator}…{identity[-SHOWN_OF_UUID:]}" if len(identity) == UUID_LENGTH else f"{kind}{separator}{identity}"


def _message(refusal: openai.APIStatusError) -> str:
    body = refusal.body
    return str(body.get("message")) if isinstance(body, dict) else refusal.message
