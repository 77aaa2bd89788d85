"""A run in progress: what it was told, what it found, and how far it is."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from benchmarks.contestants.base import Contestant, Running
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, load, once
from benchmarks.measure import metered
from benchmarks.results import Fact, Run, Sample
from benchmarks.workspace import Workspace

_WARM: Final = 16
"""Clients of the warm-up."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is told."""

    rounds: int = 3
    seconds: float = 5
    """Length of one measurement."""
    warm_up: float = 2
    """Seconds of load before the first one, after each start."""
    clients: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    quick: bool = False
    """Whether all of it may take three minutes only."""
    contestants: tuple[str, ...] = ()
    """Names of the only ones wanted; none means all."""
    steady: float = 300
    """Seconds of steady load."""


class Point(msgspec.Struct, frozen=True):
    """One thing to measure of a contestant that runs."""

    name: str
    """What is varied, such as the number of clients."""
    clients: int
    request: str
    """Which of the contestant's requests."""


class Bench:
    """What scenarios measure with."""

    def __init__(
        self,
        options: Options,
        workspace: Workspace,
        run: Run,
        tell: Callable[[str], None],
        save: Callable[[], None],
    ) -> None:
        self.options = options
        self.workspace = workspace
        self.run = run
        self._save = save
        self.tell = tell
        """Says what is being done."""

    def available(self, contestants: Sequence[Contestant]) -> list[Contestant]:
        """Return those that are wanted and installed; the others are noted."""
        found = []
        for contestant in contestants:
            if self.options.contestants and contestant.name not in self.options.contestants:
                continue
            missing = contestant.missing()
            if missing is None:
                found.append(contestant)
                self._note_versions(contestant)
                continue
            self.run.skipped[contestant.title] = missing
        return found

    def compare(
        self,
        scenario: str,
        contestants: Sequence[Contestant],
        points: Sequence[Point],
        rounds: int | None = None,
    ) -> None:
        """Measure all points of all contestants in rounds.

        In each round the contestants take turns, in an order that shifts; one runs alone, is started for its
        turn, warmed up and ended after it. So a change of the machine's speed meets all alike, and none is
        disturbed by another.
        """
        count = self.options.rounds if rounds is None else rounds
        for number in range(count):
            shift = number % max(1, len(contestants))
            for contestant in (*contestants[shift:], *contestants[:shift]):
                label = f"{scenario}: {contestant.title}, round {number + 1} of {count}"
                self.tell(f"{label}: starting")
                try:
                    with contestant.running() as running:
                        self.warm(running, points)
                        for point in points:
                            self.tell(f"{label}: {point.name}")
                            self.measure(scenario, contestant.title, running, point, number + 1)
                except BenchmarkError as error:
                    # The others go on, and what it had measured before stays.
                    self.run.skipped[f"{contestant.title}, {scenario}, round {number + 1}"] = str(error)
                self._save()

    def measure(
        self,
        scenario: str,
        title: str,
        running: Running,
        point: Point,
        number: int = 1,
        seconds: float | None = None,
    ) -> Load:
        """Measure one point once."""
        with metered(running.parts) as meter:
            measured = load(
                running.origin,
                running.requests[point.request],
                point.clients,
                seconds or self.options.seconds,
            )
        self.run.samples.append(
            Sample(
                scenario=scenario,
                contestant=title,
                point=point.name,
                clients=point.clients,
                round=number,
                load=measured,
                usage=meter.usage,
            )
        )
        return measured

    def note(self, scenario: str, name: str, value: float, unit: str) -> None:
        """Keep a figure that is no load."""
        self.run.facts.append(Fact(scenario=scenario, name=name, value=value, unit=unit))

    def _note_versions(self, contestant: Contestant) -> None:
        if contestant.title not in self.run.versions:
            versions = contestant.versions()
            if versions:
                self.run.versions[contestant.title] = ", ".join(f"{k} {v}" for k, v in versions.items())

    def warm(self, running: Running, points: Sequence[Point]) -> None:
        """Load what was just started for a while, with the requests that will be measured."""
        clients: dict[str, int] = {}
        for point in points:
            clients[point.request] = max(point.clients, clients.get(point.request, 0))
        for request, most in clients.items():
            # A server that refuses would be the fastest of all.
            once(running.origin, running.requests[request][0])
            # No more than will be measured: what is left of large requests would take its time afterwards.
            load(running.origin, running.requests[request], min(_WARM, most), self.options.warm_up)
