"""What `mlhub down` waits for, told while it does."""

import time
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from mlhub.local import processes
from mlhub.local.instance import Instance
from mlhub.local.program import Plan

_AGAIN: Final = 5.0
"""Seconds after which those that are still waited for are told once more."""
_WHAT: Final = ("to end", "to finish what they hold", "to write down what they keep", "to end")
"""What is waited for, by the tier of the programs."""


class Departure:
    """Looks which programs of an instance are left, and tells when others are waited for than before."""

    def __init__(self, instance: Instance, say: Callable[[str], None]) -> None:
        self._instance = instance
        self._say = say
        self._tiers = _tiers(instance)
        self._tier = -1
        self._told_at = float("-inf")

    def look(self) -> None:
        """Look, and tell if there is something new."""
        self.told(processes.running(self._instance.folder), time.monotonic())

    def told(self, left: Collection[str], moment: float) -> None:
        """Tell which of those that are left stop now, unless it was told just before."""
        known = [name for name in self._tiers if name in left]
        if not known:
            return
        tier = min(self._tiers[name] for name in known)
        if tier == self._tier and moment < self._told_at + _AGAIN:
            return
        again = "still " if tier == self._tier else ""
        self._tier, self._told_at = tier, moment
        names = ", ".join(name for name in known if self._tiers[name] == tier)
        self._say(f"{again}waiting for {names} {_WHAT[min(tier, len(_WHAT) - 1)]}")


def _tiers(instance: Instance) -> dict[str, int]:
    try:
        plan = msgspec.json.decode(instance.plan.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError):
        # Without one, all is stopped just the same.
        return {}
    return {program.name: program.tier for program in plan.programs}
