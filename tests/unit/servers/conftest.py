"""Models on disk for the tests of model servers."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import skops.io

Save = Callable[[str, str, Any], Path]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty model repository."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def save(models: Path) -> Save:
    """Saves an estimator as a version of a model; returns the version's folder."""

    def save(model: str, version: str, estimator: Any) -> Path:
        folder = models / model / version
        folder.mkdir(parents=True)
        skops.io.dump(estimator, folder / "model.skops")
        return folder

    return save


@pytest.fixture
def loaders() -> Iterator[ThreadPoolExecutor]:
    """Threads that load."""
    with ThreadPoolExecutor(4) as pool:
        yield pool
