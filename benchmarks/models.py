"""Models that scenarios need besides the digits."""

import io
import tarfile
from typing import Any

import numpy as np


def bundle(files: dict[str, bytes]) -> bytes:
    """Return a tar with some files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def linear(features: int) -> bytes:
    """Return the bundle of a linear regression on that many features."""
    from sklearn.linear_model import Ridge  # noqa: PLC0415
    from skops.io import dumps  # noqa: PLC0415 (takes seconds to import, and only some scenarios need it)

    chance = np.random.default_rng(0)
    model = Ridge().fit(chance.random((8, features)), chance.random(8))
    return bundle({"model.skops": dumps(model)})


def row(features: int) -> list[float]:
    """Return a row of numbers with four digits each, as measured values have."""
    values: Any = np.random.default_rng(1).random(features).round(4)
    return list(values.tolist())
