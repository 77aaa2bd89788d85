"""The last hour is made of what processes counted, whoever came and went."""

from collections.abc import Sequence

from mlhub.api.operations.failures import Failures
from mlhub.api.operations.history import History
from mlhub.common import metrics
from mlhub.common.operations import Point
from mlhub.common.tally import Reading, Tally


class Process:
    """A process of the API that answers."""

    def __init__(self) -> None:
        self.tally = Tally()

    def answer(
        self,
        count: int = 1,
        seconds: float = 0.004,
        status: str = "200",
        route: str = "/model/{name}/predict",
    ) -> None:
        for _ in range(count):
            self.tally.count(metrics.HTTP_REQUESTS, route, "POST", status).value += 1
            self.tally.histogram(metrics.HTTP_TIME, route).observe(seconds)

    def read(self) -> Sequence[Reading]:
        return self.tally.read()


class Hour:
    """A history whose clock the test turns."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.history = History(lambda: self.time)

    def pass_by(self, seconds: float, **processes: Process) -> None:
        self.time += seconds
        self.history.take([(name, process.read()) for name, process in processes.items()])


def test_points_have_what_came_since_the_point_before_over_all_processes() -> None:
    hour, first, second = Hour(), Process(), Process()
    first.answer(1000)
    hour.pass_by(0, first=first, second=second)
    assert not hour.history.points
    first.answer(30)
    second.answer(70)
    hour.pass_by(10, first=first, second=second)
    (point,) = hour.history.points
    assert (point.time, point.requests, point.failures) == (1010, 10, 0)
    hour.pass_by(10, first=first, second=second)
    assert hour.history.points[-1].requests == 0
    assert hour.history.points[-1].median is None


def test_processes_that_come_and_go_make_no_jumps() -> None:
    hour, first, second = Hour(), Process(), Process()
    hour.pass_by(0, first=first)
    second.answer(5000)
    first.answer(10)
    hour.pass_by(10, first=first, second=second)
    hour.pass_by(10, second=second)
    # One that was not heard for a while and is back.
    hour.pass_by(10, first=first, second=second)
    assert [point.requests for point in hour.history.points] == [1, 0, 0]


def test_times_are_read_from_the_ranges_they_fell_into() -> None:
    hour, process = Hour(), Process()
    hour.pass_by(0, p=process)
    process.answer(90, seconds=0.004)
    process.answer(10, seconds=0.4)
    hour.pass_by(10, p=process)
    (point,) = hour.history.points
    assert point.median is not None
    assert point.slow is not None
    assert 0.0025 < point.median <= 0.005
    assert 0.25 < point.slow <= 0.5
    process.answer(1, seconds=1000)
    hour.pass_by(10, p=process)
    assert hour.history.points[-1].median == 30, "beyond the last range nothing is known"


def test_only_the_hubs_own_failures_count_and_not_those_that_probes_ask_for() -> None:
    hour, process = Hour(), Process()
    hour.pass_by(0, p=process)
    process.answer(5, status="503")
    process.answer(5, status="404")
    process.answer(5, status="503", route="/health/ready")
    process.answer(5, status="500", route="/models")
    hour.pass_by(10, p=process)
    assert hour.history.points[-1].failures == 1
    assert hour.history.points[-1].requests == 1, "predictions"


def test_an_hour_is_kept() -> None:
    hour = Hour()
    for _ in range(500):
        hour.pass_by(10)
    assert len(hour.history.points) == 360


def test_failures_are_kept_with_their_reason_but_no_flood_of_them() -> None:
    failures = Failures()
    failures.note("POST", "/model/x/predict", 503, b'{"code": "queue_full", "detail": "Full."}', "id-1")
    for _ in range(1000):
        failures.note("POST", "/model/x/predict", 503, b"no problem", "id-2")
    (kept,) = failures.latest
    assert (kept.status, kept.code, kept.detail, kept.request) == (503, "queue_full", "Full.", "id-1")


def test_points_from_before_this_process_stand_in_front_without_its_own() -> None:
    hour, process = Hour(), Process()
    for _ in range(3):
        hour.pass_by(10, one=process)
    own = list(hour.history.points)
    before = [Point(float(time), 1, 0, None, None) for time in (1000, 1010, 1020.1, 1029.9)]
    hour.history.recall(before)
    assert list(hour.history.points) == [*before[:2], *own]
    hour.pass_by(10, one=process)
    assert len(hour.history.points) == 5
