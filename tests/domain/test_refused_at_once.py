"""What is refused outside of batches: never what a batch would admit within the next tenth of a second."""

import random
from datetime import timedelta
from typing import Any

import pytest

from domain.admission.rules import REFUSED_AT_ONCE_FOR, refuse_at_once
from domain.api_key.events import ApiKeyRateLimitsChanged, RateLimits
from domain.errors import RateLimited
from tests.domain.gateway import Gateway

A_MOMENT = timedelta(microseconds=1)


def limited(**limits: int) -> Gateway:
    gateway = Gateway().furnished()
    gateway.happened("api-key/k", ApiKeyRateLimitsChanged(rate_limits=RateLimits(**limits)))
    return gateway


def refused(gateway: Gateway) -> RateLimited | None:
    try:
        refuse_at_once(gateway.view, "k", gateway.at)
    except RateLimited as refusal:
        return refusal
    return None


def admits(gateway: Gateway, after: timedelta) -> bool:
    """Whether the batch would, that much later; nothing is changed."""
    before = gateway.at
    gateway.at += after
    gateway.draft()
    events = len(gateway.events)
    try:
        gateway.admit()
    except RateLimited:
        return False
    else:
        return True
    finally:
        gateway.drop(events)
        gateway.at = before


@pytest.mark.parametrize("seed", range(20))
def test_what_is_refused_at_once_every_batch_of_the_next_tenth_of_a_second_would_refuse(seed: int) -> None:
    chance = random.Random(seed)
    gateway = limited(requests_per_minute=chance.randint(1, 4), requests_per_hour=chance.randint(2, 8))
    told = 0
    for _ in range(60):
        gateway.later(seconds=chance.choice([0.01, 0.2, 1, 15, 59.95, 600]) * chance.random())
        if refused(gateway) is not None:
            told += 1
            assert not admits(gateway, timedelta(0))
            assert not admits(gateway, REFUSED_AT_ONCE_FOR - A_MOMENT)
        elif admits(gateway, timedelta(0)):
            gateway.admit()
    assert told


def test_what_becomes_free_within_a_tenth_of_a_second_is_left_to_the_batch() -> None:
    gateway = limited(requests_per_minute=1)
    gateway.admit()
    first = refused(gateway)
    assert first is not None
    assert first.limit == "requests_per_minute"
    gateway.at += first.retry_after - REFUSED_AT_ONCE_FOR
    assert refused(gateway) is not None
    gateway.at += A_MOMENT
    assert refused(gateway) is None
    assert not admits(gateway, timedelta(0))
    assert admits(gateway, REFUSED_AT_ONCE_FOR - A_MOMENT)


def test_a_window_that_stays_full_refuses_though_another_is_about_to_be_free() -> None:
    gateway = limited(requests_per_minute=1, requests_per_hour=1)
    gateway.admit()
    gateway.later(seconds=59.95)
    refusal = refused(gateway)
    assert refusal is not None
    assert refusal.limit == "requests_per_hour"


@pytest.mark.parametrize("limits", [{}, {"tokens_per_minute": 1}, {"parallel_requests": 1}])
def test_only_full_windows_of_requests_are_told(limits: dict[str, Any]) -> None:
    """Tokens and places may come back at any moment."""
    gateway = limited(requests_per_minute=10)
    gateway.admit()
    gateway.happened("api-key/k", ApiKeyRateLimitsChanged(rate_limits=RateLimits(**limits)))
    assert refused(gateway) is None


def test_a_key_that_nobody_knows_is_not_this_rules_business() -> None:
    refuse_at_once(Gateway().view, "nobody", Gateway().at)
