"""Numbers are counted, read and written as Prometheus wants them."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlhub.common import metrics
from mlhub.common.exposition import Readings, expose
from mlhub.common.metrics import FAMILIES, Kind
from mlhub.common.tally import Reading, Tally

UNITS = ("_seconds", "_bytes", "_info")


def written(*processes: Tally, hub: tuple[Reading, ...] = ()) -> str:
    named = {f"process{number}": tally.read() for number, tally in enumerate(processes)}
    return expose(Readings(named, hub), "text/plain")[0].decode()


def parsed(text: str) -> dict[str, float]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_same_labels_have_the_same_number() -> None:
    tally = Tally()
    tally.count(metrics.BUNDLE_BYTES, "in").value += 2
    tally.count(metrics.BUNDLE_BYTES, "in").value += 3
    assert tally.read() == [Reading(metrics.BUNDLE_BYTES, ("in",), 5)]


def test_values_fall_into_ranges_whose_ends_are_part_of_them() -> None:
    tally = Tally()
    for value in (1, 2, 2, 3, 1000):
        tally.histogram(metrics.BATCH_ROWS, "b").observe(value)
    samples = parsed(written(tally))

    def bucket(end: str) -> float:
        return samples[f"mlhub_batch_rows_bucket[('backend', 'b'), ('le', '{end}'), ('process', 'process0')]"]

    assert [bucket(end) for end in ("1.0", "2.0", "4.0", "512.0", "+Inf")] == [1, 3, 4, 4, 5]
    assert samples["mlhub_batch_rows_sum[('backend', 'b'), ('process', 'process0')]"] == 1008


def test_each_process_has_series_of_its_own_so_that_counters_never_fall() -> None:
    first, second = Tally(), Tally()
    first.count(metrics.BUNDLE_BYTES, "in").value += 1
    second.count(metrics.BUNDLE_BYTES, "in").value += 2
    samples = parsed(written(first, second))
    assert sorted(samples.values()) == [1, 2]


def test_a_gauge_is_read_when_it_is_wanted() -> None:
    tally = Tally()
    waiting = [1]
    tally.gauge(metrics.PENDING, lambda: len(waiting))
    waiting.append(2)
    assert tally.read() == [Reading(metrics.PENDING, (), 2)]


def test_labels_without_end_do_not_fill_the_memory() -> None:
    tally = Tally()
    for number in range(2000):
        tally.count(metrics.HTTP_REQUESTS, f"/{number}", "GET", "200").value += 1
    assert len(tally.read()) == 501
    assert sum(reading.value for reading in tally.read()) == 2000


def test_a_number_that_is_not_declared_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Tally().count("mlhub_nonsense_total")
    with pytest.raises(TypeError):
        Tally().count(metrics.BATCH_ROWS, "b")
    with pytest.raises(TypeError):
        Tally().count(metrics.BUNDLE_BYTES)


def test_numbers_of_another_version_do_no_harm() -> None:
    odd = [Reading("mlhub_of_tomorrow", (), 1), Reading(metrics.BATCH_ROWS, ("b",), 1, (1, 2))]
    text = expose(Readings({"process": odd}), "text/plain")[0].decode()
    assert parsed(text) == {}


def test_names_follow_the_conventions_of_prometheus() -> None:
    for name, family in FAMILIES.items():
        assert re.fullmatch(r"mlhub_[a-z_]+", name)
        assert name.endswith("_total") == (family.kind is Kind.COUNTER), name
        assert not name.endswith(("_count", "_sum", "_bucket"))
        if "duration" in name or "age" in name.split("_"):
            assert name.endswith(UNITS), name
        assert family.help.endswith(".")
        assert list(family.bounds) == sorted(set(family.bounds))
        assert bool(family.bounds) == (family.kind is Kind.HISTOGRAM)
        # What there may be any number of is no label.
        assert not {"model", "version", "user", "path", "id"} & set(family.labels) or name == metrics.BUILD


def test_openmetrics_are_written_where_they_are_preferred() -> None:
    text, media_type = expose(Readings({}, [Reading(metrics.PENDING, (), 1)]), "application/openmetrics-text")
    assert media_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
