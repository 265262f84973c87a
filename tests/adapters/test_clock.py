"""The machine's clock."""

from concurrent.futures import ThreadPoolExecutor

from adapters.clock import IDS_DRAWN, SystemClock


def test_ids_are_never_repeated_whichever_threads_ask() -> None:
    clock = SystemClock()
    with ThreadPoolExecutor(4) as threads:
        ids = [each for several in threads.map(lambda _: [clock.uuid7() for _ in range(IDS_DRAWN)], range(16)) for each in several]
    assert len(set(ids)) == 16 * IDS_DRAWN
    assert {each.version for each in ids} == {7}
