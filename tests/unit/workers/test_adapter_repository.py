"""The folder that model servers read: versions come and go as a whole."""

import os
import threading
from pathlib import Path

import pytest

from mlhub.common.errors import BackendError
from mlhub.workers.adapters.repository import ModelRepository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def repository(root: Path) -> ModelRepository:
    return ModelRepository(root)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "model.skops").write_text("model")
    (folder / "deep" / "deeper" / "x").write_text("x")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


WHOLE = ["deep", "deep/deeper", "deep/deeper/x", "empty", "model.skops"]


def test_a_version_is_there_with_all_its_files(repository: ModelRepository, root: Path, files: Path) -> None:
    repository.place("m", "1-aa", files)
    assert names(root / "m" / "1-aa") == WHOLE
    assert (root / "m/1-aa/model.skops").read_text() == "model"
    assert names(root / "m") == ["1-aa", *(f"1-aa/{name}" for name in WHOLE)]


def test_the_files_that_were_given_may_go(repository: ModelRepository, root: Path, files: Path) -> None:
    repository.place("m", "1-aa", files)
    (files / "model.skops").unlink()
    assert (root / "m/1-aa/model.skops").read_text() == "model"


def test_a_private_folder_becomes_readable_for_servers(
    repository: ModelRepository, root: Path, files: Path
) -> None:
    files.chmod(0o700)
    repository.place("m", "1-aa", files)
    mask = os.umask(0)
    os.umask(mask)
    assert (root / "m" / "1-aa").stat().st_mode & 0o777 == 0o777 & ~mask


def test_a_version_that_is_there_stays_as_it_is(
    repository: ModelRepository, root: Path, files: Path, tmp_path: Path
) -> None:
    repository.place("m", "1-aa", files)
    before = (root / "m/1-aa").stat()
    (tmp_path / "other").mkdir()
    repository.place("m", "1-aa", tmp_path / "other")
    assert (root / "m/1-aa").stat() == before


def test_many_may_place_one_version_at_once(repository: ModelRepository, root: Path, files: Path) -> None:
    failures: list[Exception] = []

    def place() -> None:
        try:
            repository.place("m", "1-aa", files)
        except Exception as error:  # noqa: BLE001 (a thread's error fails the test below)
            failures.append(error)

    threads = [threading.Thread(target=place) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(root / "m" / "1-aa") == WHOLE
    assert [path.name for path in (root / "m").iterdir()] == ["1-aa"]


def test_a_removed_version_leaves_the_others(repository: ModelRepository, root: Path, files: Path) -> None:
    repository.place("m", "1-aa", files)
    repository.place("m", "2-bb", files)
    repository.remove("m", "1-aa")
    repository.remove("m", "1-aa")
    assert [path.name for path in (root / "m").iterdir()] == ["2-bb"]
    repository.remove("m", "2-bb")
    assert list(root.iterdir()) == []
    repository.remove("never", "1-aa")


def test_what_an_unfinished_attempt_left_goes_with_the_version(
    repository: ModelRepository, root: Path, files: Path
) -> None:
    repository.place("m", "1-aa", files)
    (root / "m" / ".1-aa.0123").mkdir()
    (root / "m" / ".1-aaa.0123").mkdir()
    repository.remove("m", "1-aa")
    assert names(root) == ["m", "m/.1-aaa.0123"]


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path, files: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackendError, match="cannot be written: Not a directory") as caught:
        ModelRepository(tmp_path / "file").place("m", "1-aa", files)
    assert str(tmp_path) not in caught.value.detail


def test_files_that_are_gone_leave_nothing(repository: ModelRepository, root: Path, files: Path) -> None:
    (files / "loose").symlink_to("nowhere")
    with pytest.raises(BackendError, match="cannot be written"):
        repository.place("m", "1-aa", files)
    assert names(root) == ["m"]


def test_what_a_killed_attempt_left_goes_when_the_version_is_placed(
    repository: ModelRepository, root: Path, files: Path
) -> None:
    left = root / "m" / ".1-x.0123"
    left.mkdir(parents=True)
    (left / "part").write_bytes(b"x")
    repository.place("m", "1-x", files)
    assert [path.name for path in (root / "m").iterdir()] == ["1-x"]
    left.mkdir()
    repository.place("m", "1-x", files)
    assert [path.name for path in (root / "m").iterdir()] == ["1-x"]
