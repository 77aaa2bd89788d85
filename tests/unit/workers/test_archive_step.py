"""The step that unpacks a bundle, on a real store."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mlhub.common.errors import UnacceptableError
from mlhub.common.model import Bundle, Model, ModelType, Version, VersionState
from mlhub.storage.bundles import new_key
from mlhub.storage.database import now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.workers.bundle.archive import UnpackLimits
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import Draft
from mlhub.workers.validation.steps.archive import Archive


def bundle() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("model.skops")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    return file.getvalue()


def take(folder: Path, content: bytes, sha256: str) -> Path:
    """Keep `content` as a version's bundle that should have this digest, and unpack it."""
    store = DirectoryBundleStore(folder / "bundles")
    writer = store.create()
    writer.write(content)
    writer.seal()
    key = new_key(sha256)
    writer.commit(key)
    time = now()
    common: dict[str, Any] = {"model": "m", "backend": "b", "created_at": time}
    kept = Bundle(sha256, len(content), "f", key)
    version = Version(deployment="d", version="1", state=VersionState.VALIDATING, bundle=kept, **common)
    target = folder / "unpacked"
    target.mkdir()
    draft = Draft(version, Model(type=ModelType.SKLEARN, updated_at=time, **common), target)
    Archive(store, UnpackLimits(10**6, 10, 100)).take(draft, Deadline(60, "Unpacking"))
    return target


def test_a_whole_copy_is_unpacked(tmp_path: Path) -> None:
    content = bundle()
    target = take(tmp_path, content, hashlib.sha256(content).hexdigest())
    assert (target / "model.skops").read_bytes() == b"hello"


def test_a_damaged_copy_is_not(tmp_path: Path) -> None:
    with pytest.raises(UnacceptableError) as caught:
        take(tmp_path, bundle(), "ab" * 32)
    assert caught.value.code == "bundle_damaged"
