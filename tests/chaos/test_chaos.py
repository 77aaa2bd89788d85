"""Each part of the hub is killed or stopped in turn under a steady mixed load, and nothing that was accepted is lost.

`MLHUB_CHAOS` gives the minutes of the long form, in which faults come in any order; `make chaos` sets it.
"""

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from mlhub.client import HubError, verify_webhook
from tests.chaos.faults import FAULTS, KINDS, Fault, Round, play
from tests.chaos.ledger import wait_until
from tests.chaos.load import Verdict, verdict
from tests.chaos.report import score, table
from tests.chaos.scene import Scene, playing, until_well
from tests.integration.conftest import WEBHOOK_SECRET

MINUTES: Final = float(os.environ.get("MLHUB_CHAOS", "0"))
BOUND: Final = 5.0 if MINUTES else 60.0
"""Seconds in which all is well again; generous where other things run on the same machine."""
CALM: Final = 1.0
"""Seconds without a failed call that count as being well."""
LAST: Final = 120.0
"""Seconds in which all accepted work ends once nothing goes wrong any more."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with playing(tmp_path_factory.mktemp("chaos")) as scene:
        yield scene


@pytest.fixture(scope="module")
def rounds() -> list[Round]:
    """Those that were played."""
    return []


def happen(scene: Scene, fault: Fault, rounds: list[Round]) -> None:
    """Let a fault happen, and see that its clients notice no more of it than they may."""
    limit = max(BOUND, 60.0)
    played = play(scene, fault, lambda since: until_well(scene, since, KINDS, CALM, limit))
    rounds.append(played)
    counted = score(scene.ledger, played)
    assert not counted.wrong
    assert not counted.unforgivable, f"{len(counted.unforgivable)} of {counted.calls} calls failed"
    assert played.recovery is not None, f"not well again {limit:g} seconds after {fault.name}"
    assert played.recovery <= BOUND


def begin(scene: Scene) -> None:
    """Wait until each kind of call has worked."""
    settled = wait_until(
        lambda: scene.ledger.settled(0.0, (*KINDS, "bulk", "upload"), CALM) is not None, 60.0
    )
    assert settled, scene.ledger.calls()[-20:]


@pytest.mark.skipif(MINUTES > 0, reason="the long form has them in any order")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_clients_notice_no_more_than_they_may(scene: Scene, fault: Fault, rounds: list[Round]) -> None:
    begin(scene)
    happen(scene, fault, rounds)


@pytest.mark.skipif(MINUTES == 0, reason="MLHUB_CHAOS is not set: see make chaos")
def test_clients_notice_no_more_than_they_may_for_a_long_time(scene: Scene, rounds: list[Round]) -> None:
    begin(scene)
    end = time.monotonic() + 60 * MINUTES
    chance = random.Random(1)
    missed: list[str] = []
    while time.monotonic() < end:
        for fault in chance.sample(FAULTS, len(FAULTS)):
            try:
                happen(scene, fault, rounds)
            except AssertionError as error:
                # The others are to be seen too.
                missed.append(f"{fault.name}: {error}")
            time.sleep(chance.uniform(0.0, 2.0))
    assert not missed, "\n".join(missed)


def test_all_that_was_accepted_was_done_right(scene: Scene, rounds: list[Round], capsys: Any) -> None:
    begin(scene)
    scene.load.finish()
    accepted = scene.ledger.accepted()
    deadline = time.monotonic() + LAST

    def judge(work: Any) -> Verdict:
        return verdict(scene.hub.url, scene.truth, work, deadline)

    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(judge, accepted))
    asked = {work.place.rpartition("/")[2] for work in accepted if work.called}
    wait_until(lambda: asked <= called(scene), LAST)
    uncalled = asked - called(scene)
    with capsys.disabled():
        print("\n" + table(scene.ledger, rounds, verdicts, len(uncalled)))  # noqa: T201
    assert [one for one in verdicts if one.outcome != "done"] == []
    assert not uncalled
    assert not [call for call in scene.ledger.calls() if call.wrong]


def called(scene: Scene) -> set[str]:
    """Return the predictions whose webhook was called, with their end."""
    found: set[str] = set()
    for call in list(scene.receiver.calls):
        try:
            brought = verify_webhook(WEBHOOK_SECRET, call.headers, call.body)
        except HubError:
            # Older than five minutes, in the long form; the id is what counts here.
            found.add(call.headers["webhook-id"])
        else:
            assert brought.status == "succeeded"
            found.add(brought.id)
    return found
