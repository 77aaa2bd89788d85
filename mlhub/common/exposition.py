"""Numbers in Prometheus' text format."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from mlhub.common.metrics import FAMILIES, Family, Kind
from mlhub.common.tally import Reading

PROCESS: Final = "process"
"""Label with the name of the process that counted."""


class Readings(Collector):
    """What processes counted and what was seen of the hub, as Prometheus' library wants to have it."""

    def __init__(self, processes: Mapping[str, Iterable[Reading]], hub: Iterable[Reading] = ()) -> None:
        """Take numbers.

        Args:
            processes: those of single processes, by the name of the process.
            hub: those that are of no single one.
        """
        self._by_family: dict[str, list[tuple[str | None, Reading]]] = {}
        for name, readings in processes.items():
            for reading in readings:
                self._by_family.setdefault(reading.family, []).append((name, reading))
        for reading in hub:
            self._by_family.setdefault(reading.family, []).append((None, reading))

    def collect(self) -> Iterator[Metric]:
        """Yield all families that there are numbers of; one that is not known here is left out."""
        for family in FAMILIES.values():
            found = self._by_family.get(family.name)
            if found:
                yield _metric(family, found)


def expose(readings: Readings, accept: str) -> tuple[bytes, str]:
    """Write numbers in the format that a client accepts; return the text and its media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(readings)
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


def _metric(family: Family, found: Sequence[tuple[str | None, Reading]]) -> Metric:
    kinds = {
        Kind.COUNTER: CounterMetricFamily,
        Kind.GAUGE: GaugeMetricFamily,
        Kind.HISTOGRAM: HistogramMetricFamily,
    }
    by_process = any(name is not None for name, _ in found)
    # The library leaves its own methods untyped.
    metric: Any = kinds[family.kind](
        family.name, family.help, labels=(*family.labels, *((PROCESS,) if by_process else ()))
    )
    for name, reading in found:
        labels = (*reading.labels, *((name or "",) if by_process else ()))
        if isinstance(metric, HistogramMetricFamily):
            _add_histogram(metric, family, labels, reading)
        else:
            metric.add_metric(labels, reading.value)
    made: Metric = metric
    return made


def _add_histogram(
    metric: HistogramMetricFamily, family: Family, labels: tuple[str, ...], reading: Reading
) -> None:
    if len(reading.counts) != len(family.bounds) + 1:
        # Of a process that runs another version of the hub.
        return
    total = 0
    buckets = []
    for bound, count in zip((*map(str, family.bounds), "+Inf"), reading.counts, strict=True):
        total += count
        buckets.append((bound, total))
    metric.add_metric(labels, buckets, reading.value)
