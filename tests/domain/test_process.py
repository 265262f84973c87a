"""The rules of a process."""

from domain.errors import Conflict, NotFound
from tests.examples import note_death, process_found_dead, process_started, process_stopped, start_process, stop_process
from tests.scenario import NOW, given


def test_a_process_starts_once() -> None:
    started = given().when(start_process()).then(process_started())
    started.and_again().then_nothing()
    assert (started.state.lock_key, started.state.started_at, started.state.stopped) == (4_711, NOW, False)


def test_an_id_is_not_used_by_two_processes() -> None:
    given(process_started(lock_key=1)).when(start_process(lock_key=2)).then_refused(Conflict, "has been started before")
    given(process_started(), process_stopped()).when(start_process()).then_refused(Conflict)


def test_a_process_stops_once() -> None:
    stopped = given(process_started()).when(stop_process()).then(process_stopped())
    stopped.and_again().then_nothing()
    assert stopped.state.stopped


def test_a_process_that_never_started_does_not_stop() -> None:
    given().when(stop_process()).then_refused(NotFound)


def test_a_process_is_found_dead_once() -> None:
    dead = given(process_started()).when(note_death()).then(process_found_dead())
    dead.and_again().then_nothing()
    assert (dead.state.found_dead, dead.state.stopped) == (True, False)


def test_a_process_that_stopped_is_not_found_dead() -> None:
    given(process_started(), process_stopped()).when(note_death()).then_nothing()


def test_a_process_that_came_back_may_stop() -> None:
    given(process_started(), process_found_dead()).when(stop_process()).then(process_stopped())


def test_a_process_that_the_log_does_not_know_is_not_noted() -> None:
    given().when(note_death()).then_refused(NotFound)
