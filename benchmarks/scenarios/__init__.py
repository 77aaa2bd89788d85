"""What is measured: one module each, and the one table that names them."""

from collections.abc import Callable
from typing import Final

import msgspec

from benchmarks.bench import Bench
from benchmarks.scenarios import (
    digits,
    footprint,
    image,
    inputs,
    metadata,
    models,
    rows,
    scaling,
    slow,
    steady,
    tfaas,
    watching,
)


class Scenario(msgspec.Struct, frozen=True):
    """One thing to find out."""

    name: str
    title: str
    measure: Callable[[Bench], None]
    varied: str = "clients"
    """What the points of its table are."""
    quick: bool = False
    """Whether it is part of a quick run."""


SCENARIOS: Final = (
    Scenario(digits.NAME, digits.TITLE, digits.measure, quick=True),
    Scenario(slow.NAME, slow.TITLE, slow.measure, quick=True),
    Scenario(scaling.NAME, scaling.TITLE, scaling.measure),
    Scenario(metadata.NAME, metadata.TITLE, metadata.measure, varied="call"),
    Scenario(rows.NAME, rows.TITLE, rows.measure, varied="features"),
    Scenario(tfaas.NAME, tfaas.TITLE, tfaas.measure),
    Scenario(image.NAME, image.TITLE, image.measure),
    Scenario(inputs.NAME, inputs.TITLE, inputs.measure, varied="size"),
    Scenario(models.NAME, models.TITLE, models.measure, varied="models"),
    Scenario(steady.NAME, steady.TITLE, steady.measure, varied="after"),
    Scenario(watching.NAME, watching.TITLE, watching.measure),
    Scenario(footprint.NAME, footprint.TITLE, footprint.measure, quick=True),
)
