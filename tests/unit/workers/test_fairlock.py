"""Threads get the lock in the order in which they came, and whoever gives up holds up nobody."""

import threading

from mlhub.workers.fairlock import FairLock


def test_it_goes_to_whoever_has_waited_longest_not_to_the_one_that_had_it() -> None:
    lock, order = FairLock(), list[str]()
    assert lock.acquire(0.0)
    threads = [threading.Thread(target=_take, args=(lock, name, order)) for name in ("first", "second")]
    for number, thread in enumerate(threads, 1):
        thread.start()
        _until_waiting(lock, number)
    lock.release()
    assert lock.acquire(60.0)
    order.append("again")
    lock.release()
    for thread in threads:
        thread.join(60)
    assert order == ["first", "second", "again"]


def test_whoever_gives_up_does_not_get_it() -> None:
    lock = FairLock()
    assert lock.acquire(0.0)
    assert not lock.acquire(0.001)
    lock.release()
    assert lock.acquire(0.0), "nobody has it"
    assert not lock.acquire(0.0)


def _take(lock: FairLock, name: str, order: list[str]) -> None:
    if lock.acquire(60.0):
        order.append(name)
        lock.release()


def _until_waiting(lock: FairLock, count: int) -> None:
    """Return once so many threads wait for it."""
    tick = threading.Event()
    while lock.waiting < count:
        tick.wait(0.001)
