"""What it costs that operators see what happens: everything counted and told, against nothing of it.

The hub has no switch for that, so the one without has the places replaced that count and tell (`blind`). Both
of a pair run all the time and are loaded in turn, so that a change of the machine's speed meets both alike.
There are several pairs, since processes that are started alike are not equally fast.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import requests
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import digits
from benchmarks.bench import Bench, Point
from benchmarks.contestants.base import Running
from benchmarks.contestants.hub import Hub
from benchmarks.errors import BenchmarkError

NAME: Final = "watching"
TITLE: Final = "What operators see of a hub, against nothing of it, 64 clients"
OFF: Final = "hub, nothing counted or told"
ON: Final = "hub, as it is"
READ: Final = "hub, read every second by Prometheus and followed by a monitor page"
KEPT: Final = "throughput of the hub as it is, against one that counts and tells nothing"
KEPT_READ: Final = "the same, read and followed"

CLIENTS: Final = 64
_PAIRS: Final = 4
"""Pairs of hubs, one after another: two that are started alike differ by as much as what is looked for."""
_TURN: Final = 1
"""Seconds of a turn: what is looked for is smaller than what the machine's speed changes by in a few."""
_TURNS: Final = 5
"""Turns of each pair in each round."""
_BLIND: Final = Path(__file__).resolve().parents[1] / "servers" / "blind"
_ANSWERED: Final = "mlhub_http_request_duration_seconds"

Way = tuple[str, Running, Callable[[], AbstractContextManager[None]]]
"""What is measured: its title, the hub, and what happens meanwhile."""


def measure(bench: Bench) -> None:
    """Load both hubs of each pair in turn, many times."""
    pairs = [_pair(bench, number) for number in range(_PAIRS)]
    for name, title in ((KEPT, ON), (KEPT_READ, READ)):
        rates = [
            [seen.rate / unseen.rate for seen, unseen in turns] for turns in (pair[title] for pair in pairs)
        ]
        costs = [seen.cost / unseen.cost for pair in pairs for seen, unseen in pair[title]]
        bench.note(NAME, name, median(chain.from_iterable(rates)), "times")
        bench.note(NAME, f"{name}: processor time a request", median(costs), "times")
        middles = [median(turns) for turns in rates]
        bench.note(NAME, f"{name}: the pair with the least", min(middles), "times")
        bench.note(NAME, f"{name}: the pair with the most", max(middles), "times")


class _Turn(NamedTuple):
    """What a hub did in a turn."""

    rate: float
    """Requests a second."""
    cost: float
    """Cores' seconds a request, of all its parts."""


def _pair(bench: Bench, number: int) -> dict[str, list[tuple[_Turn, _Turn]]]:
    """Return for both ways of a hub that is seen its turns, each beside that of one that is not."""
    path = os.pathsep.join(filter(None, (str(_BLIND), os.environ.get("PYTHONPATH"))))
    off = Hub(bench.workspace, title=OFF, folder=f"unseen-{number}", variables={"PYTHONPATH": path})
    on = Hub(bench.workspace, title=ON, folder=f"seen-{number}")
    point = Point(str(CLIENTS), CLIENTS, digits.NAME)
    turns: dict[str, list[_Turn]] = {OFF: [], ON: [], READ: []}
    with off.running() as unseen, on.running() as seen:
        ways: list[Way] = [
            (OFF, unseen, nullcontext),
            (ON, seen, nullcontext),
            (READ, seen, partial(_reading, seen.origin)),
        ]
        for running in (unseen, seen):
            bench.warm(running, [point])
        _check(unseen, seen)
        count = bench.options.rounds * _TURNS
        for turn in range(count):
            shift = turn % len(ways)
            for title, running, meanwhile in (*ways[shift:], *ways[:shift]):
                bench.tell(f"{NAME}: {title}, pair {number + 1} of {_PAIRS}, turn {turn + 1} of {count}")
                with meanwhile():
                    load = bench.measure(NAME, title, running, point, number * count + turn + 1, _TURN)
                busy = sum(part.cpu for part in bench.run.samples[-1].usage)
                turns[title].append(_Turn(load.rate, busy / load.rate))
    return {title: list(zip(turns[title], turns[OFF], strict=True)) for title in (ON, READ)}


def _check(unseen: Running, seen: Running) -> None:
    """Make sure that one counts, and the other does not."""
    for running, counts in ((unseen, False), (seen, True)):
        text = requests.get(f"{running.origin}/metrics", timeout=60).text
        answered = sum(
            item.value
            for family in text_string_to_metric_families(text)
            for item in family.samples
            if item.name == f"{_ANSWERED}_count"
        )
        if (answered > 0) is not counts:
            what = "all" if counts else "none"
            raise BenchmarkError(f"{answered:.0f} answers are counted where {what} should be.")


@contextmanager
def _reading(origin: str) -> Iterator[None]:
    """Read the metrics every second, and follow what the monitor page follows."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(1.0):
            requests.get(f"{origin}/metrics", timeout=60).raise_for_status()

    def follow() -> None:
        with requests.get(f"{origin}/monitor/events", stream=True, timeout=60) as events:
            events.raise_for_status()
            for _ in events.iter_lines():
                if ended.is_set():
                    return

    threads = [threading.Thread(target=target) for target in (scrape, follow)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
