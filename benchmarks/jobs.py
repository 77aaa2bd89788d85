"""How fast asynchronous predictions are accepted and done, and whom a backlog of them holds up.

    python -m benchmarks.jobs [--backlog 100000] [--seconds 8] [--turns 7] [--json FILE]

A hub of its own with the digits model; one row a prediction. What clients that wait notice of the backlog is
measured in several short turns, with and without its being worked on by turns, so that it does not matter how
fast the machine is at the time. It ends by itself in about three minutes.
"""

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import psutil

from benchmarks import digits
from benchmarks.hub import Published, hub_parts, publish, running_hub
from benchmarks.load import Load, Request, json_request, load, once
from benchmarks.measure import metered
from benchmarks.turns import Turns
from benchmarks.workspace import workspace
from mlhub.common import tensor
from mlhub.common.prediction import Prediction, PredictionStatus
from mlhub.local.instance import Instance
from mlhub.local.program import Plan
from mlhub.storage.database import connect, now
from mlhub.storage.groups import name_at
from mlhub.storage.lanes import LaneStore
from mlhub.storage.predictions import PredictionStore

_CLIENTS: Final = 32
_WAITING: Final = 16
"""Clients that wait for their answers, beside the backlog."""
_GROUP: Final = 32
"""Predictions that the backlog keeps together, as many as clients that order them would."""
_OPEN: Final = {"queue": {"$exists": True}}
"""Finds the groups of predictions that are to be done."""
_TURN: Final = 3
"""Seconds of a turn: some 100 requests of each are its slowest hundredth."""
_LOOK: Final = 0.2
"""Seconds between two looks at the database, each of which costs it a millisecond."""
_DAY: Final = timedelta(days=1)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    inserts: float
    """Documents a second that the database keeps of 32 clients, each by itself."""
    accepted: float
    """Predictions a second that the hub accepts from 32 clients."""
    drained: float
    """Predictions a second that one job worker does when nothing else is to be done."""
    microseconds: dict[str, float]
    """Of a processor that each part of the hub took for one of these, which tells more on a busy machine."""
    p99_empty: float
    p99_backlog: float
    """Milliseconds of the slowest hundredth of 16 clients that wait, without and with a backlog."""
    p50_empty: float
    p50_backlog: float
    p99_ratios: list[float]
    """How many times as long the slowest hundredth waits beside the backlog; one for each pair of turns."""
    other_lane: float
    """Seconds that the slowest of ten single predictions of another model took, beside the backlog."""
    backlog: int
    """Predictions that were still to be done when that was measured."""


class Bench:
    """A hub under measurement."""

    def __init__(self, origin: str, folder: Path, seconds: float) -> None:
        self._origin = origin
        self._folder = folder
        self._seconds = seconds
        plan = msgspec.json.decode(Instance(folder).plan.read_bytes(), type=Plan)
        self._database = connect(plan.environment["MLHUB_MONGODB_URL"], "mlhub")
        self._predictions = PredictionStore(self._database, _DAY)
        body = json_request(f"/model/{digits.NAME}/predict", digits.hub_body())
        self._waits = body
        self._later = msgspec.structs.replace(body, headers=body.headers | {"Prefer": "respond-async"})

    def inserts(self) -> float:
        """Measure what the database does by itself."""
        rows = [0] * _CLIENTS
        end = time.monotonic() + self._seconds

        def insert(place: int) -> None:
            own = self._database[f"bench{place % 4}"]
            while time.monotonic() < end:
                own.insert_one({"input": bytes(512), "status": "starting", "created_at": now()})
                rows[place] += 1

        threads = [threading.Thread(target=insert, args=(place,)) for place in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(rows) / self._seconds

    def accepted_and_drained(self) -> tuple[float, float, dict[str, float]]:
        """Measure accepting while no job worker runs, then how fast one does what was accepted, by what."""
        with self._suspended():
            given = load(self._origin, [self._later], _CLIENTS, self._seconds)
            _check(given)
            last = self._newest()
        started = time.monotonic()
        with metered(lambda: hub_parts(self._folder)) as meter:
            # Those before it may end a moment later; to count what is left costs what is measured.
            self._wait_until(lambda: not self._is_open(last))
            self._wait_until(lambda: self.left() == 0)
        seconds = time.monotonic() - started
        count = given.requests - given.refused
        taken = {usage.part: usage.cpu * seconds / count * 1e6 for usage in meter.usage}
        return given.rate, count / seconds, taken

    def left(self) -> int:
        """Count the predictions that are to be done."""
        documents = self._database["predictions"].find(_OPEN, {"size": 1})
        return sum(document["size"] for document in documents)

    def _newest(self) -> str:
        """Name the group that is to be done last."""
        found = self._database["predictions"].find(_OPEN, {"_id": 1})
        return max(str(document["_id"]) for document in found)

    def _is_open(self, group: str) -> bool:
        found = self._database["predictions"].find_one({"_id": group}, {"queue": 1})
        return found is not None and "queue" in found

    def waiting(self, seconds: float) -> Load:
        """Measure clients that wait."""
        given = load(self._origin, [self._waits], _WAITING, seconds)
        _check(given)
        return given

    def beside(self, turns: int) -> Turns:
        """Measure clients that wait beside a backlog, and by turns with nobody working on it."""
        without, beside = [], []
        for _ in range(turns):
            with self._suspended():
                without.append(self.waiting(_TURN))
            beside.append(self.waiting(_TURN))
        return Turns(tuple(without), tuple(beside))

    def fill(self, count: int) -> None:
        """Keep a backlog, as if it had been accepted."""
        template = self._predictions.get(self._order(self._later))
        row = tensor.encode("input", np.array([digits.trained().digit.pixels], dtype=np.float64))
        lanes = LaneStore(self._database)
        first = ""
        for number in range(0, count, _GROUP):
            created = now()
            name = f"{name_at(created.timestamp())}{number:016x}"
            first = first or name
            new = [_copy(template, f"{name}{place:02x}", row) for place in range(_GROUP)]
            self._predictions.add_all(new)
        lanes.hold(template.lane, template.backend, first)

    def other_lane(self) -> float:
        """Measure single predictions of another model."""
        request = msgspec.structs.replace(self._later, path="/model/other/predict")
        longest = 0.0
        for _ in range(10):
            started = time.monotonic()
            identity = self._order(request)
            wait = Request(method="GET", path=f"/predictions/{identity}", headers={"Prefer": "wait=60"})
            once(self._origin, wait, timeout=90)
            longest = max(longest, time.monotonic() - started)
        return longest

    def _order(self, request: Request) -> str:
        return str(msgspec.json.decode(once(self._origin, request))["id"])

    @contextmanager
    def _suspended(self) -> Iterator[None]:
        workers: Sequence[psutil.Process] = hub_parts(self._folder)["job worker"]
        for worker in workers:
            worker.suspend()
        try:
            yield
        finally:
            for worker in workers:
                worker.resume()

    def _wait_until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            time.sleep(_LOOK)


def _copy(template: Prediction, name: str, row: tensor.Tensor) -> Prediction:
    return msgspec.structs.replace(
        template,
        id=name,
        inputs=(row,),
        status=PredictionStatus.STARTING,
        result=(),
        created_at=now(),
        published_at=None,
        started_at=None,
        completed_at=None,
        predict_time=None,
        lease_until=None,
        attempts=0,
    )


def _check(given: Load) -> None:
    if given.errors:
        sys.stderr.write(f"of {given.requests} requests {given.errors} went wrong\n")


def measure(origin: str, folder: Path, seconds: float, backlog: int, turns: int) -> Figures:
    """Take all figures."""
    bundle = digits.trained().bundle
    publish(origin, {digits.NAME: Published(bundle=bundle), "other": Published(bundle=bundle)})
    bench = Bench(origin, folder, seconds)
    bench.waiting(_TURN)
    inserts = bench.inserts()
    accepted, drained, microseconds = bench.accepted_and_drained()
    bench.fill(backlog)
    clients = bench.beside(turns)
    other = bench.other_lane()
    return Figures(
        inserts=inserts,
        accepted=accepted,
        drained=drained,
        microseconds=microseconds,
        p99_empty=clients.p99s[0],
        p99_backlog=clients.p99s[1],
        p50_empty=clients.p50s[0],
        p50_backlog=clients.p50s[1],
        p99_ratios=clients.ratios,
        other_lane=other,
        backlog=bench.left(),
    )


def table(figures: Figures) -> str:
    """Make the table that is printed."""
    rows: list[tuple[str, str]] = [
        ("the database's own inserts, 32 clients", f"{figures.inserts:,.0f}/s"),
        (
            "accepted, 32 clients",
            f"{figures.accepted:,.0f}/s, {figures.accepted / figures.inserts:.0%} of that",
        ),
        ("done by one job worker", f"{figures.drained:,.0f}/s"),
        *(
            (f"processor time for each: {part}", f"{taken:,.0f} µs")
            for part, taken in sorted(figures.microseconds.items())
        ),
        (
            "16 clients that wait, nothing else to do",
            f"p50 {figures.p50_empty:.1f} ms, p99 {figures.p99_empty:.1f} ms",
        ),
        (
            "the same beside a backlog",
            (
                f"p50 {figures.p50_backlog:.1f} ms, p99 {figures.p99_backlog:.1f} ms: "
                f"{statistics.median(figures.p99_ratios):.2f} times ({len(figures.p99_ratios)} turns: "
                f"{figures.p99_ratios[0]:.2f} to {figures.p99_ratios[-1]:.2f})"
            ),
        ),
        ("slowest of ten single ones of another model beside it", f"{figures.other_lane:.2f} s"),
        ("left of the backlog then", f"{figures.backlog:,}"),
    ]
    return "\n".join(
        ("| what | measured |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows))
    )


def main() -> None:
    """Run a hub, measure, and print a table."""
    parser = argparse.ArgumentParser(description="Asynchronous predictions.")
    parser.add_argument("--backlog", type=int, default=100_000, help="predictions that wait")
    parser.add_argument("--seconds", type=float, default=8, help="how long each measurement takes")
    parser.add_argument("--turns", type=int, default=7, help="turns of clients that wait, of each kind")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options: Any = parser.parse_args()
    with workspace(keep=False) as space:
        folder = space.folder("hub")
        with running_hub(folder) as origin:
            figures = measure(origin, folder, options.seconds, options.backlog, options.turns)
    print(table(figures))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))


if __name__ == "__main__":
    main()
