"""A small world for the log's figures: one model, one key with limits, two budgets that hold for it; and completions on it."""

import os
import time
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256

from domain.api_key.commands import IssueApiKey
from domain.api_key.events import Permissions, RateLimits
from domain.budget.commands import OpenBudget
from domain.completion.commands import AdmitCompletion, AttemptMade, SettleCompletion
from domain.completion.events import EndReason
from domain.ids import ApiKeyId, BudgetId, CompletionId, CredentialId, ModelId, ProcessId, TeamId, uuid7
from domain.kernel import Command
from domain.model.commands import PriceModel, PublishModel
from domain.model.events import ModelContent
from domain.money import nanos_of_usd
from domain.price import Category, Tier
from domain.team.commands import CreateTeam

OWNER = ProcessId("bench")
KEY = ApiKeyId("bench")
MODEL = ModelId("bench")
LIMIT_NANOS = nanos_of_usd(Decimal(1_000_000))


def commands() -> Iterator[Command]:
    content = ModelContent(name="Bench", provider="openai", provider_model="bench", credential_id=CredentialId("bench"))
    rates = {Category.INPUT: (Tier(nanos_per_million=150_000_000),), Category.OUTPUT: (Tier(nanos_per_million=600_000_000),)}
    yield CreateTeam(team_id=TeamId("bench"), name="Bench")
    yield PublishModel(model_id=MODEL, content=content)
    yield PriceModel(model_id=MODEL, source="given", rates=rates)
    yield IssueApiKey(
        api_key_id=KEY,
        name="Bench",
        team_id=TeamId("bench"),
        key_prefix="pk_test_bench",
        secret_sha256=sha256(b"bench").hexdigest(),
        permissions=Permissions(),
        rate_limits=RateLimits(requests_per_minute=100_000_000, parallel_requests=100_000),
    )
    yield OpenBudget(budget_id=BudgetId("everyone"), name="Everyone", period="monthly", hard_limit_nanos=LIMIT_NANOS)
    yield OpenBudget(budget_id=BudgetId("team"), name="Team", period="daily", hard_limit_nanos=LIMIT_NANOS, team_ids=frozenset({"bench"}))


def admission() -> AdmitCompletion:
    return AdmitCompletion(
        completion_id=CompletionId(str(uuid7(time.time_ns() // 1_000_000, os.urandom(10)))),
        owner=OWNER,
        api_key_id=KEY,
        model_id=MODEL,
        route=(MODEL,),
        prompt_text_tokens_bound=1_000,
        output_cap=256,
    )


def settlement(admitted: AdmitCompletion) -> SettleCompletion:
    usage = {"input": 200, "output": 24}
    raw_usage = {"prompt_tokens": 200, "completion_tokens": 24, "total_tokens": 224}
    attempt = AttemptMade(
        model_id=MODEL,
        provider="openai",
        outcome="succeeded",
        status=200,
        first_byte_ms=180,
        latency_ms=200,
        usage=usage,
        usage_source="reported",
        raw_usage=raw_usage,
    )
    return SettleCompletion(
        completion_id=admitted.completion_id, end_reason=EndReason.COMPLETED, attempts=(attempt,), latency_ms=201, overhead_ms=1.5
    )
