"""Whether targets are reached, and how a run is shown."""

from pathlib import Path

import pytest

from benchmarks.contestants import titles
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load
from benchmarks.machine import Machine
from benchmarks.measure import Usage
from benchmarks.report import page
from benchmarks.results import Run, Sample, read, save
from benchmarks.scenarios import digits, steady
from benchmarks.targets import outcomes

MACHINE = Machine(
    processor="P",
    cores=2,
    memory_gib=4,
    system="Debian",
    python="3.11",
    commit="c",
    date="d",
    load_before=0.1,
)


def sample(
    contestant: str, clients: int, rate: float, *, p50: float = 1.0, p99: float = 2.0, number: int = 1
) -> Sample:
    load = Load(
        requests=int(rate * 10),
        seconds=10,
        bytes=1,
        p50=p50,
        p90=p50,
        p99=p99,
        longest=p99,
        refused=0,
        broken=0,
        late=0,
    )
    return Sample(
        scenario=digits.NAME,
        contestant=contestant,
        point=str(clients),
        clients=clients,
        round=number,
        load=load,
        usage=(Usage("server", 1.0, 100.0),),
    )


def run_of(*samples: Sample) -> Run:
    return Run(machine=MACHINE, rounds=1, seconds=10, samples=list(samples))


def reached(run: Run, beginning: str) -> bool | None:
    (outcome,) = [outcome for outcome in outcomes(run) if outcome.target.what.startswith(beginning)]
    return outcome.reached


def test_nothing_is_reached_that_was_not_measured() -> None:
    assert {outcome.reached for outcome in outcomes(run_of())} == {None}


@pytest.mark.parametrize(("rate", "expected"), [(2200, True), (2199, False)])
def test_a_ratio_is_reached_from_the_wanted_one_on(rate: float, expected: bool) -> None:
    run = run_of(sample(titles.HUB_MLSERVER, 64, rate), sample(titles.MLSERVER, 64, 1000))
    assert reached(run, "hub → MLServer against MLServer directly, 64") is expected


def test_the_best_of_the_others_counts_in_whatever_form() -> None:
    slower = [sample(title, 64, 100) for title in titles.OTHERS if title != titles.KSERVE]
    best = (sample(titles.KSERVE, 64, 800), sample(titles.KSERVE_2, 64, 1000))
    run = run_of(sample(titles.HUB, 64, 3000), *slower, *best)
    beginning = "hub → own server against the best of the other servers directly"
    assert reached(run, f"{beginning}, 64") is True
    assert reached(run, f"{beginning}, with two processes as well, 64") is False


def test_the_wait_that_the_hub_adds_is_a_difference() -> None:
    run = run_of(sample(titles.HUB, 1, 300, p50=2.5), sample(titles.OWN, 1, 2000, p50=0.4))
    assert reached(run, "one client: p50 of hub → own server") is False


def test_the_median_of_the_rounds_counts() -> None:
    rates = [100.0, 900.0, 500.0]
    run = run_of(*(sample(titles.HUB, 64, rate, number=number) for number, rate in enumerate(rates)))
    summary = run.summary(digits.NAME, titles.HUB, "64")
    assert summary is not None
    assert (summary.slowest, summary.rate, summary.fastest) == (100, 500, 900)


def test_growth_is_that_after_the_first_fifth() -> None:
    sizes = [10.0, 100.0, 100.0, 105.0, 110.0]
    samples = [
        Sample(
            scenario=steady.NAME,
            contestant=titles.HUB,
            point=f"{number} s",
            clients=64,
            round=1,
            load=sample(titles.HUB, 64, 1).load,
            usage=(Usage("API", 1.0, size),),
        )
        for number, size in enumerate(sizes)
    ]
    assert steady.growth(samples) == pytest.approx(10)


def test_a_run_is_read_as_it_was_saved(tmp_path: Path) -> None:
    run = run_of(sample(titles.HUB, 64, 3000))
    save(run, tmp_path / "results" / "run.json")
    assert read(tmp_path / "results" / "run.json") == run


def test_the_page_names_every_target_and_keeps_what_stands_around_it(tmp_path: Path) -> None:
    run = run_of(sample(titles.HUB, 64, 3000), sample(titles.KSERVE, 64, 1000))
    file = tmp_path / "figures.md"
    file.write_text(f"before\n{page.START}\nold\n{page.END}\nafter\n")
    page.insert(file, page.render(run, {"throughput": tmp_path / "figures" / "throughput.png"}, tmp_path))
    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "(figures/throughput.png)" in text
    assert "| at least 3.5 times | 3.00 times | not reached |" in text


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "figures.md"
    file.write_text("my own")
    with pytest.raises(BenchmarkError, match="no marks"):
        page.insert(file, "text")
    assert file.read_text() == "my own"
