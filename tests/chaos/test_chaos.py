"""Each part of the hub is killed or stopped in turn under a steady mixed load, and nothing that was accepted is lost.

This is the short form; `make chaos` runs the long one.
"""

from collections.abc import Iterator

import pytest

from tests.chaos.faults import FAULTS, Fault, Round
from tests.chaos.judgement import begin, happen, judge
from tests.chaos.scene import Scene, playing


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with playing(tmp_path_factory.mktemp("chaos")) as scene:
        yield scene


@pytest.fixture(scope="module")
def rounds() -> list[Round]:
    """Those that were played."""
    return []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_clients_notice_no_more_than_they_may(scene: Scene, fault: Fault, rounds: list[Round]) -> None:
    begin(scene)
    happen(scene, fault, rounds)


def test_all_that_was_accepted_was_done_right(
    scene: Scene, rounds: list[Round], capsys: pytest.CaptureFixture[str]
) -> None:
    told, amiss = judge(scene, rounds)
    with capsys.disabled():
        print("\n" + told)  # noqa: T201
    assert not amiss
