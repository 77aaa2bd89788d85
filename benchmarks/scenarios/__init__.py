"""What is measured: one module each, and the one table that names them."""

from collections.abc import Callable
from typing import Final

import msgspec

from benchmarks.bench import Bench
from benchmarks.scenarios import digits, footprint


class Scenario(msgspec.Struct, frozen=True):
    """One thing to find out."""

    name: str
    title: str
    measure: Callable[[Bench], None]
    quick: bool = False
    """Whether it is part of a quick run."""


SCENARIOS: Final = (
    Scenario(digits.NAME, digits.TITLE, digits.measure, quick=True),
    Scenario(footprint.NAME, footprint.TITLE, footprint.measure, quick=True),
)
