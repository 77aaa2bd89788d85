"""A model whose every answer tells which row it was asked for, and what it must say."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from skops.io import dumps

from tests.integration.conftest import bundle

WIDTH = 4


def rows(first: int, count: int = 1) -> NDArray[np.float64]:
    """Return the rows of some numbers, [count, 4]; no two rows are the same."""
    numbers = np.arange(first, first + count)
    return np.stack([numbers % 1000, numbers // 1000, numbers * 37 % 101, numbers * 7 % 13], axis=1).astype(
        "f8"
    )


class Truth:
    """The model, here and as a bundle."""

    def __init__(self) -> None:
        learned = rows(0, 5000)
        self._estimator = LinearRegression().fit(learned, learned @ np.array([3.0, 5000.0, 0.25, -0.5]))
        self._files = {"model.skops": dumps(self._estimator)}
        self.bundle = bundle(self._files)

    def version(self, number: int) -> bytes:
        """Return a bundle that no other number has, of more than a megabyte."""
        # Text, to whoever looks for pickles.
        noise = f"version {number}: ".encode() + np.random.default_rng(number).bytes(1_500_000)
        return bundle(self._files | {"notes/noise.txt": noise})

    def says(self, first: int, count: int = 1) -> NDArray[np.float64]:
        """Return what it predicts for some numbers, [count]; no two of them are less than 0.2 apart."""
        said: NDArray[np.float64] = self._estimator.predict(rows(first, count))
        return said

    def is_right(self, given: Any, first: int, count: int = 1) -> bool:
        """Tell whether an answer is what it says."""
        try:
            values = np.atleast_1d(np.asarray(given, "f8"))
        except (TypeError, ValueError):
            return False
        return values.shape == (count,) and bool(
            np.allclose(values, self.says(first, count), rtol=0, atol=1e-3)
        )


def npy(array: NDArray[Any]) -> bytes:
    """Return an array as a file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
