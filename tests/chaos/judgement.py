"""What must hold, whatever happens: seen in each round, and at the end in all that was accepted."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mlhub.client import HubError, verify_webhook
from tests.chaos.faults import KINDS, Fault, Round, play
from tests.chaos.ledger import Accepted, wait_until
from tests.chaos.load import Verdict, verdict
from tests.chaos.report import score, table
from tests.chaos.scene import Scene, until_well
from tests.integration.conftest import WEBHOOK_SECRET

_CALM: Final = 1.0
"""Seconds without a failed call that count as being well."""
_LONGEST: Final = 150.0
"""Seconds in which the hub has to be well again in any case."""
_LAST: Final = 150.0
"""Seconds in which all accepted work ends once nothing goes wrong any more."""


def begin(scene: Scene) -> None:
    """Wait until each kind of call has worked."""
    kinds = (*KINDS, "bulk", "upload")
    settled = wait_until(lambda: scene.ledger.settled(0.0, kinds, _CALM) is not None, _LONGEST)
    assert settled, scene.ledger.calls()[-20:]


def happen(scene: Scene, fault: Fault, rounds: list[Round], bound: float = _LONGEST) -> None:
    """Let a fault happen, and see that its clients notice no more of it than they may.

    Args:
        scene: the hub.
        fault: what happens to it.
        rounds: gets what happened.
        bound: seconds in which all has to be well again.
    """
    played = play(scene, fault, lambda since: until_well(scene, since, KINDS, _CALM, _LONGEST))
    rounds.append(played)
    counted = score(scene.ledger, played)
    assert not counted.wrong
    assert not counted.unforgivable, f"{len(counted.unforgivable)} of {counted.calls} calls failed"
    assert played.recovery is not None, f"not well again {_LONGEST:g} seconds after {fault.name}"
    assert played.recovery <= bound, f"well again only after {played.recovery:.1f} seconds"


def judge(scene: Scene, rounds: Sequence[Round]) -> tuple[str, list[str]]:
    """End the load, and see what became of all that was accepted.

    Returns:
        The table, and what is amiss.
    """
    begin(scene)
    scene.load.finish()
    accepted = scene.ledger.accepted()
    deadline = time.monotonic() + _LAST

    def look(work: Accepted) -> Verdict:
        return verdict(scene.hub.url, scene.truth, work, deadline)

    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(look, accepted))
    asked = {work.place.rpartition("/")[2] for work in accepted if work.called}
    wait_until(lambda: asked <= called(scene), _LAST)
    uncalled = asked - called(scene)
    amiss = [str(one) for one in verdicts if one.outcome != "done"]
    amiss += [f"webhook of {identity} not called" for identity in uncalled]
    amiss += [str(call) for call in scene.ledger.calls() if call.wrong]
    return table(scene.ledger, rounds, verdicts, len(uncalled)), amiss


def called(scene: Scene) -> set[str]:
    """Return the predictions whose webhook was called, with their end."""
    found: set[str] = set()
    for call in list(scene.receiver.calls):
        try:
            brought = verify_webhook(WEBHOOK_SECRET, call.headers, call.body)
        except HubError:
            # It came more than five minutes ago; that it came is what counts here.
            found.add(call.headers["webhook-id"])
        else:
            assert brought.status == "succeeded"
            found.add(brought.id)
    return found
