"""When a process counts as dead: its lock was free at every look, for long enough, by one looker's own clock."""

import asyncio
from collections.abc import Collection

import pytest

from application.concurrently import each
from application.reactions.recover_completions import LOOKS_APART_S_MAX, Silence

DEAD_AFTER_S = 15.0
LOOKING_S = 0.25
"""How long a look takes."""


@pytest.fixture
def silence() -> Silence:
    return Silence(DEAD_AFTER_S)


def look(silence: Silence, at: float, silent: Collection[str] = ("p",)) -> list[str]:
    return silence.dead(silent, began_at=at, ended_at=at + LOOKING_S)


def look_every_second(silence: Silence, first: int, last: int) -> list[int]:
    """When it was found dead."""
    return [second for second in range(first, last + 1) if look(silence, float(second))]


def test_a_process_is_dead_when_it_was_silent_at_every_look_for_long_enough(silence: Silence) -> None:
    assert look_every_second(silence, 100, 120) == [116]


def test_one_sign_of_life_begins_it_anew(silence: Silence) -> None:
    look_every_second(silence, 100, 114)
    assert look(silence, 115.0, silent=()) == []
    assert look_every_second(silence, 116, 140) == [132]


def test_a_look_that_saw_nothing_begins_it_anew(silence: Silence) -> None:
    look_every_second(silence, 100, 114)
    silence.forget()
    assert look_every_second(silence, 115, 140) == [131]


def test_a_looker_that_stood_still_itself_begins_anew(silence: Silence) -> None:
    look(silence, 100.0)
    resumed = 100 + DEAD_AFTER_S + LOOKS_APART_S_MAX
    assert look(silence, resumed) == []
    assert look_every_second(silence, int(resumed) + 1, int(resumed) + 20) == [int(resumed) + 16]


def test_each_process_has_its_own_time(silence: Silence) -> None:
    look(silence, 100.0, ["p"])
    found = {second: look(silence, float(second), ["p", "q"]) for second in range(101, 120)}
    assert {second: dead for second, dead in found.items() if dead} == {116: ["p"], 117: ["q"]}


def test_one_that_stays_silent_is_told_again_later_and_not_at_every_look(silence: Silence) -> None:
    assert look_every_second(silence, 100, 150) == [116, 133, 150]


async def test_so_many_are_done_at_once_and_no_more() -> None:
    now, most, done = 0, 0, []

    async def do(item: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        done.append(item)

    await each(range(20), do, at_once=3)
    assert (most, sorted(done)) == (3, list(range(20)))
    await each([], do, at_once=3)
