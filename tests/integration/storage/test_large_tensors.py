"""Large tensors of predictions on a real store: out of their documents, back when they are needed, then gone."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mlhub.common import tensor
from mlhub.common.errors import UnavailableError
from mlhub.common.prediction import Prediction, PredictionStatus
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect, now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.heldfiles import HeldFiles
from mlhub.storage.largetensors import LargeTensors
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.versions import VersionStore

SMALL = (tensor.encode("x", np.zeros((2, 8))),)
LARGE = (tensor.encode("x", np.ones((20, 8))), tensor.encode("y", np.array(["a"] * 20, dtype=object)))


class Place(msgspec.Struct, frozen=True):
    tensors: LargeTensors
    shelf: BundleShelf
    store: DirectoryBundleStore

    def files(self) -> int:
        return len(list(self.store.listing()))


@pytest.fixture
def place(database: Any, tmp_path: Path) -> Iterator[Place]:
    db = connect(database.url, database.name, patience=60_000, answer=120_000)
    copies, versions = CopyStore(db), VersionStore(db)
    copies.create_indexes()
    versions.create_indexes()
    store = DirectoryBundleStore(tmp_path / "bundles")
    shelf = BundleShelf(store, copies, versions)
    yield Place(LargeTensors(HeldFiles(shelf, store), timedelta(hours=1), 1000), shelf, store)
    db.client.close()


def prediction(**fields: Any) -> Prediction:
    values: dict[str, Any] = {"id": "p", "model": "m", "version": "1", "backend": "b", "deployment": "d"}
    return Prediction(**values, created_at=fields.pop("created_at", now()), **fields)


def test_small_tensors_stay_where_they_are(place: Place) -> None:
    item = prediction(inputs=SMALL, result=SMALL, status=PredictionStatus.SUCCEEDED)
    assert place.tensors.without_inputs(item) is item
    assert place.tensors.without_result(item) is item
    assert place.tensors.with_inputs(item) is item
    assert place.files() == 0


def test_large_inputs_leave_their_shapes_and_come_back(place: Place) -> None:
    item = prediction(inputs=LARGE)
    out = place.tensors.without_inputs(item)
    assert [one.shape for one in out.inputs] == [(20, 8), (20,)]
    assert all(one.data == b"" for one in out.inputs)
    assert place.tensors.with_inputs(out).inputs == LARGE
    place.tensors.drop(out.inputs_file)
    assert place.files() == 0
    with pytest.raises(UnavailableError):
        place.tensors.with_inputs(out)


def test_large_outputs_leave_nothing_and_come_back(place: Place) -> None:
    item = prediction(result=LARGE, status=PredictionStatus.SUCCEEDED)
    out = place.tensors.without_result(item)
    assert (out.result, out.apart) == ((), True)
    assert place.tensors.with_result(out).result == LARGE


def test_files_go_when_the_time_of_their_prediction_is_over(place: Place) -> None:
    old = now() - timedelta(days=1)
    place.tensors.without_inputs(prediction(inputs=LARGE, created_at=old))
    place.tensors.without_inputs(prediction(inputs=LARGE))
    place.shelf.sweep(3600)
    assert place.files() == 1
