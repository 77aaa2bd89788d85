"""What is to be reached, as ratios within one run, and whether it was."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import msgspec

from benchmarks.contestants import titles
from benchmarks.results import Run, Summary
from benchmarks.scenarios import digits, metadata, scaling, slow, steady, watching


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    what: str
    unit: str
    """What stands behind its numbers."""
    wanted: float
    at_most: bool = False
    """Whether less is better."""
    find: Callable[[Run], float | None]
    """Returns what was measured; nothing when it was not."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A target beside what was measured."""

    target: Target
    measured: float | None

    @property
    def reached(self) -> bool | None:
        """Whether it is; nothing when it was not measured."""
        if self.measured is None:
            return None
        if self.target.at_most:
            return self.measured <= self.target.wanted
        return self.measured >= self.target.wanted


_AGAINST_BEST: Final = "hub → own server against the best of the other servers directly"


def outcomes(run: Run) -> list[Outcome]:
    """Compare a run with all targets."""
    return [Outcome(target=target, measured=target.find(run)) for target in TARGETS]


def _digits(run: Run, contestant: str, clients: int) -> Summary | None:
    return run.summary(digits.NAME, contestant, str(clients))


def _ratio(of: str, to: str, clients: int) -> Callable[[Run], float | None]:
    def find(run: Run) -> float | None:
        return _quotient(_digits(run, of, clients), _digits(run, to, clients))

    return find


def _against_best(clients: int, rivals: Sequence[str]) -> Callable[[Run], float | None]:
    """Compare the hub with the fastest server of others, in whatever form that is the fastest."""

    def find(run: Run) -> float | None:
        others = [_digits(run, title, clients) for title in rivals]
        if rivals is titles.OTHERS_DOUBLED and others[-1] is None:
            # The one that this line is about was not there.
            return None
        best = max(filter(None, others), key=lambda summary: summary.rate, default=None)
        return _quotient(_digits(run, titles.HUB, clients), best)

    return find


def _quotient(one: Summary | None, other: Summary | None) -> float | None:
    return one.rate / other.rate if one and other and other.rate else None


def _added_wait(hub: str, server: str) -> Callable[[Run], float | None]:
    def find(run: Run) -> float | None:
        one, other = _digits(run, hub, 1), _digits(run, server, 1)
        return one.p50 - other.p50 if one and other else None

    return find


def _tail(hub: str) -> Callable[[Run], float | None]:
    def find(run: Run) -> float | None:
        summary = _digits(run, hub, 64)
        return summary.p99 / summary.p50 if summary and summary.p50 else None

    return find


def _errors(hub: str) -> Callable[[Run], float | None]:
    def find(run: Run) -> float | None:
        summary = _digits(run, hub, 1024)
        return None if summary is None else float(summary.errors)

    return find


def _many(hub: str) -> Callable[[Run], float | None]:
    def find(run: Run) -> float | None:
        return _quotient(_digits(run, hub, 1024), _digits(run, hub, 256))

    return find


def _scaled(run: Run) -> float | None:
    sizes = [run.summary(scaling.NAME, title, scaling.CLIENTS) for title in (scaling.TWO, scaling.ONE)]
    return _quotient(*sizes)


def _slow(run: Run) -> float | None:
    summary = run.summary(slow.NAME, slow.HUB, slow.CLIENTS)
    return None if summary is None else summary.rate / slow.IDEAL


def _rate(scenario: str, point: str) -> Callable[[Run], float | None]:
    def find(run: Run) -> float | None:
        summary = run.summary(scenario, titles.HUB, point)
        return None if summary is None else summary.rate

    return find


def _targets() -> Iterator[Target]:
    for clients, wanted in ((64, 2.2), (256, 3.5)):
        yield Target(
            what=f"hub → MLServer against MLServer directly, {clients} clients",
            unit="times",
            wanted=wanted,
            find=_ratio(titles.HUB_MLSERVER, titles.MLSERVER, clients),
        )
    for rivals, which in ((titles.OTHERS, ""), (titles.OTHERS_DOUBLED, ", with two processes as well")):
        for clients, wanted in ((16, 1.3), (64, 3.5), (256, 5.0)):
            yield Target(
                what=f"{_AGAINST_BEST}{which}, {clients} clients",
                unit="times",
                wanted=wanted,
                find=_against_best(clients, rivals),
            )
    yield Target(
        what="hub → own server against HTTP alone, 256 clients",
        unit="times",
        wanted=0.5,
        find=_ratio(titles.HUB, titles.HTTP, 256),
    )
    for hub, server in ((titles.HUB, titles.OWN), (titles.HUB_MLSERVER, titles.MLSERVER)):
        yield Target(
            what=f"one client: p50 of {hub} minus p50 of the server directly",
            unit="ms",
            wanted=2.0,
            at_most=True,
            find=_added_wait(hub, server),
        )
    for hub in (titles.HUB, titles.HUB_MLSERVER):
        yield Target(
            what=f"{hub}, 64 clients: p99 against p50",
            unit="times",
            wanted=4.0,
            at_most=True,
            find=_tail(hub),
        )
    for hub in (titles.HUB, titles.HUB_MLSERVER):
        yield Target(
            what=f"{hub}, 1,024 clients: errors", unit="", wanted=0.0, at_most=True, find=_errors(hub)
        )
        yield Target(
            what=f"{hub}, 1,024 clients: throughput against that with 256",
            unit="times",
            wanted=0.9,
            find=_many(hub),
        )
    yield Target(
        what="two API processes and two predict workers against one and one, 256 clients",
        unit="times",
        wanted=1.0,
        find=_scaled,
    )
    yield Target(
        what="a model of 50 ms a call, 256 clients: against what the server can compute at most",
        unit="times",
        wanted=0.9,
        find=_slow,
    )
    for what in (watching.KEPT, watching.KEPT_READ):
        yield Target(
            what=f"{what}, {watching.CLIENTS} clients",
            unit="times",
            wanted=0.97,
            find=partial(Run.fact, scenario=watching.NAME, name=what),
        )
    for point in (metadata.ENTRY, metadata.LIST):
        yield Target(what=f"{point}, 16 clients", unit="/s", wanted=2000.0, find=_rate(metadata.NAME, point))
    yield Target(
        what=f"steady load: {steady.GROWTH}",
        unit="%",
        wanted=5.0,
        at_most=True,
        find=lambda run: run.fact(steady.NAME, steady.GROWTH),
    )


TARGETS: Final = tuple(_targets())
