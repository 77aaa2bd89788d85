"""What the suite counts, and the table it prints."""

from collections import Counter
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from tests.chaos.faults import AWAY, Round
from tests.chaos.ledger import Call, Ledger
from tests.chaos.load import Verdict


class Score(msgspec.Struct, frozen=True):
    """What clients noticed of a round."""

    calls: int
    wrong: list[Call]
    failed: list[Call]
    unforgivable: list[Call]
    """Failures that the fault does not excuse."""

    @property
    def told(self) -> str:
        """Failures by status."""
        counts = Counter("broken" if call.status is None else str(call.status) for call in self.failed)
        return ", ".join(f"{count} of {status}" for status, count in sorted(counts.items()))


def score(ledger: Ledger, played: Round) -> Score:
    """Count what clients noticed from the beginning of a fault to the end of its round."""
    calls = [call for call in ledger.calls(played.began) if call.ended <= played.over]
    failed = [call for call in calls if not call.ok]
    return Score(
        len(calls),
        [call for call in calls if call.wrong],
        failed,
        [call for call in failed if not _is_excused(call, played)],
    )


def _is_excused(call: Call, played: Round) -> bool:
    fault = played.fault
    if fault.only is not None and call.kind not in fault.only:
        return False
    if call.status is None:
        return fault.breaks
    return call.status in fault.allowed and (call.comes_back or call.status not in AWAY)


def table(ledger: Ledger, rounds: Sequence[Round], verdicts: Sequence[Verdict], uncalled: int) -> str:
    """Return the table of all rounds as text."""
    made = Table(title="What the hub's clients noticed")
    for name in ("fault", "calls", "failed", "wrong", "not excused", "well again after"):
        made.add_column(name, justify="left" if name in {"fault", "failed"} else "right")
    for played in rounds:
        counted = score(ledger, played)
        again = "never" if played.recovery is None else f"{played.recovery:.1f} s"
        made.add_row(
            played.fault.name,
            str(counted.calls),
            counted.told,
            str(len(counted.wrong)),
            str(len(counted.unforgivable)),
            again,
        )
    outcomes = Table(title="What became of accepted work")
    for name in ("kind", "accepted", "done", "wrong", "lost"):
        outcomes.add_column(name, justify="left" if name == "kind" else "right")
    for kind in ("submit", "bulk", "upload"):
        mine = [one for one in verdicts if one.work.kind == kind]
        counts = Counter(one.outcome for one in mine)
        outcomes.add_row(
            kind, str(len(mine)), *(str(counts[outcome]) for outcome in ("done", "wrong", "lost"))
        )
    asked = sum(one.work.called for one in verdicts)
    outcomes.add_row("webhook", str(asked), str(asked - uncalled), "0", str(uncalled))
    console = Console(width=110, force_terminal=False)
    with console.capture() as captured:
        console.print(made)
        console.print(outcomes)
    return captured.get()
