"""The sweeper on a real database and store: what is lost is begun again, and what nobody can do is left."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlhub.common import topology
from mlhub.common.model import Bundle, Version, VersionState
from mlhub.storage.bundles import new_key
from mlhub.storage.cards import CardStore
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect, now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.models import ModelStore
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.uploads import UploadStore
from mlhub.storage.versions import VersionStore
from mlhub.storage.work import WorkStore
from mlhub.workers.records import Records
from mlhub.workers.sweeper import Sweeper

DAY = timedelta(days=1)


class Place(msgspec.Struct, frozen=True):
    """All that the sweeper needs, and what it sent."""

    records: Records
    sweeper: Sweeper
    sent: list[tuple[str, str | list[str], str]]

    def keep(self, name: str, backend: str, state: VersionState, age: timedelta) -> None:
        """Keep a version whose message was sent some time ago."""
        sha256 = name.encode().hex().rjust(64, "0")
        self.records.versions.add(
            Version(
                deployment=name,
                model="m",
                version=name,
                backend=backend,
                state=state,
                bundle=Bundle(sha256, 1, "f", new_key(sha256)),
                created_at=now() - age,
                published_at=now() - age,
            )
        )

    def left(self) -> set[str]:
        """Return the names of versions that are kept."""
        names = ("new", "old", "own", "open")
        return {name for name in names if self.records.versions.by_deployment(name) is not None}


@pytest.fixture
def place(database: Any, tmp_path: Path) -> Iterator[Place]:
    db = connect(database.url, database.name)
    versions, bundles = VersionStore(db), DirectoryBundleStore(tmp_path / "bundles")
    shelf, cards = BundleShelf(bundles, CopyStore(db), versions), CardStore(db)
    records = Records(
        versions=versions,
        predictions=PredictionStore(db, DAY),
        work=WorkStore(db, DAY),
        catalogue=Catalogue(ModelStore(db), versions, shelf, cards),
        bundles=bundles,
        shelf=shelf,
        uploads=UploadStore(db, shelf),
        cards=cards,
    )
    sent: list[tuple[str, str | list[str], str]] = []
    sweeper = Sweeper(
        records, lambda *message: sent.append(message), lambda _: 0, 5, 60, tmp_path, lambda: 0, {"b"}
    )
    yield Place(records, sweeper, sent)
    db.client.close()


def test_removed_versions_of_a_backend_that_does_not_come_back_are_left_on_its_servers(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.keep("new", "gone", VersionState.REMOVING, timedelta(minutes=1))
    place.keep("old", "gone", VersionState.REMOVING, timedelta(hours=2))
    place.keep("own", "b", VersionState.REMOVING, timedelta(hours=2))
    place.keep("open", "gone", VersionState.VALIDATING, timedelta(hours=2))
    assert place.sweeper.sweep() == 3
    assert place.left() == {"new", "own", "open"}
    assert "old of m is left on the servers of gone" in caplog.text
    assert sorted(place.sent) == [
        (topology.JOB_REMOVE, "new", "gone"),
        (topology.JOB_REMOVE, "own", "b"),
        (topology.JOB_VALIDATE, "open", "gone"),
    ]
