"""Only proper names exist in a model repository, and a version's files are found where bundles have them."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlhub.common.errors import NotFoundError, UnacceptableError
from mlhub.servers.folder import ModelFolder

HOSTILE = [
    "..",
    ".",
    "",
    "a/b",
    "/etc",
    "../m",
    "m\x00",
    "m\n",
    "é",
    "x" * 129,
    ".hidden",
    "-x",
    "a b",
    "a\\b",
]


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_name_nothing(models: Path, name: str) -> None:
    write(models / "m" / "1" / "f")
    write(models.parent / "f")
    folder = ModelFolder(models / "m" / "..")
    with pytest.raises(NotFoundError):
        folder.bundle(name, "1")
    with pytest.raises(NotFoundError):
        folder.bundle("m", name)
    with pytest.raises(NotFoundError):
        folder.versions(name)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text())
def test_no_name_finds_what_is_not_a_version(models: Path, name: str) -> None:
    with pytest.raises(NotFoundError):
        ModelFolder(models).bundle(name, "1")


def test_an_unknown_version_is_told_from_an_unknown_model(models: Path) -> None:
    write(models / "m" / "1" / "f")
    with pytest.raises(NotFoundError, match="no version '2'"):
        ModelFolder(models).bundle("m", "2")
    with pytest.raises(NotFoundError, match="no model 'n'"):
        ModelFolder(models).bundle("n", "2")


def test_files_lie_at_the_top_or_in_one_folder(models: Path) -> None:
    write(models / "m" / "1" / "model.skops")
    write(models / "m" / "2" / "bundle" / "model.skops")
    write(models / "m" / "3" / "variables" / "index")
    write(models / "m" / "3" / "saved_model.pb")
    write(models / "m" / "4" / "bundle" / "model.skops")
    write(models / "m" / "4" / ".DS_Store")
    folder = ModelFolder(models)
    assert folder.bundle("m", "1").root == models / "m" / "1"
    assert folder.bundle("m", "2").root == models / "m" / "2" / "bundle"
    assert folder.bundle("m", "3").root == models / "m" / "3"
    assert folder.bundle("m", "4").root == models / "m" / "4" / "bundle"


def test_the_newest_version_comes_first(models: Path) -> None:
    for version, time in (("1-a", 100), ("10-c", 300), ("9-b", 200)):
        write(models / "m" / version / "f")
        os.utime(models / "m" / version, (time, time))
    assert ModelFolder(models).versions("m") == ["10-c", "9-b", "1-a"]


def test_models_without_versions_and_files_beside_them_are_not_listed(models: Path) -> None:
    write(models / "m" / "1" / "f")
    write(models / "m" / ".2-incoming" / "f")
    write(models / "m" / "note.txt")
    write(models / "stray.txt")
    (models / "empty").mkdir()
    folder = ModelFolder(models)
    assert folder.models() == ["m"]
    assert folder.versions("m") == ["1"]


def test_a_size_counts_all_files(models: Path) -> None:
    write(models / "m" / "1" / "a", b"12")
    write(models / "m" / "1" / "deep" / "b", b"345")
    assert ModelFolder(models).bundle("m", "1").size == 5


def test_the_stamp_changes_when_files_do(models: Path) -> None:
    path = write(models / "m" / "1" / "bundle" / "model.skops", b"one")
    folder = ModelFolder(models)
    before = folder.bundle("m", "1").stamp
    assert folder.stamp("m", "1") == before
    path.write_bytes(b"two more")
    assert folder.stamp("m", "1") != before


def test_there_is_no_stamp_of_what_is_gone(models: Path) -> None:
    assert ModelFolder(models).stamp("m", "1") is None


def test_a_version_that_cannot_be_listed_is_no_crash(models: Path) -> None:
    loop = models / "m" / "1"
    loop.parent.mkdir()
    loop.symlink_to(loop)
    with pytest.raises(UnacceptableError, match="cannot be read"):
        ModelFolder(models).bundle("m", "1")


def test_a_repository_that_is_gone_is_noticed(models: Path) -> None:
    folder = ModelFolder(models)
    assert folder.exists()
    models.rmdir()
    assert not folder.exists()
    assert folder.models() == []
