"""What a run of the benchmarks found, as it is kept in a file."""

import statistics
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.load import Load
from benchmarks.machine import Machine
from benchmarks.measure import Usage


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement."""

    scenario: str
    contestant: str
    point: str
    """What was varied, such as the number of clients or of features."""
    clients: int
    round: int
    load: Load
    usage: tuple[Usage, ...] = ()


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that is no load: a size, a duration."""

    scenario: str
    name: str
    value: float
    unit: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds of one point: medians, and how far the rates were apart; times are milliseconds."""

    rate: float
    slowest: float
    """Rate of the slowest round."""
    fastest: float
    p50: float
    p99: float
    errors: int
    """In all rounds."""
    rounds: int
    usage: tuple[Usage, ...]


class Run(msgspec.Struct, kw_only=True):
    """Everything one run found."""

    machine: Machine
    rounds: int
    seconds: float
    samples: list[Sample] = []
    facts: list[Fact] = []
    versions: dict[str, str] = {}
    """Of the software that took part, by contestant."""
    skipped: dict[str, str] = {}
    """What could not be measured, and why."""

    def of(self, scenario: str) -> list[Sample]:
        """Return the samples of a scenario."""
        return [sample for sample in self.samples if sample.scenario == scenario]

    def contestants(self, scenario: str) -> list[str]:
        """Name the contestants of a scenario in the order in which they appeared."""
        return list(dict.fromkeys(sample.contestant for sample in self.of(scenario)))

    def points(self, scenario: str) -> list[str]:
        """Name the points of a scenario in the order in which they appeared."""
        return list(dict.fromkeys(sample.point for sample in self.of(scenario)))

    def summary(self, scenario: str, contestant: str, point: str) -> Summary | None:
        """Sum up all rounds of one point; nothing when it was not measured."""
        found = [
            sample for sample in self.of(scenario) if (sample.contestant, sample.point) == (contestant, point)
        ]
        return summarise(found) if found else None

    def fact(self, scenario: str, name: str) -> float | None:
        """Return a figure, when it was measured."""
        return next(
            (fact.value for fact in self.facts if (fact.scenario, fact.name) == (scenario, name)), None
        )


def summarise(samples: list[Sample]) -> Summary:
    """Take the median of each figure over the rounds."""
    loads = [sample.load for sample in samples]
    rates = [load.rate for load in loads]
    return Summary(
        rate=statistics.median(rates),
        slowest=min(rates),
        fastest=max(rates),
        p50=statistics.median(load.p50 for load in loads),
        p99=statistics.median(load.p99 for load in loads),
        errors=sum(load.errors for load in loads),
        rounds=len(loads),
        usage=tuple(_usage(samples)),
    )


def _usage(samples: list[Sample]) -> Iterator[Usage]:
    by_part: dict[str, list[Usage]] = {}
    for sample in samples:
        for usage in sample.usage:
            by_part.setdefault(usage.part, []).append(usage)
    for part, found in by_part.items():
        yield Usage(
            part,
            statistics.median(usage.cpu for usage in found),
            statistics.median(usage.memory for usage in found),
        )


def save(run: Run, path: Path) -> None:
    """Write a run to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))


def read(path: Path) -> Run:
    """Read a run from a file."""
    return msgspec.json.decode(path.read_bytes(), type=Run)
