"""Versions load once, side by side, within the memory there is, and follow their files on the disk."""

import os
import shutil
import threading
import time
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pytest

from mlhub.common.errors import NotFoundError, UnacceptableError
from mlhub.common.signature import Signature, TensorSpec
from mlhub.common.tensor import Array
from mlhub.servers.folder import ModelFolder
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.repository import Repository

WAIT = 20


class TextModel:
    """A model whose answer is the text of its file, and whose size is its length."""

    signature = Signature((TensorSpec("input", "FP64", (-1,)),), (TensorSpec("text", "BYTES", (-1,)),))

    def __init__(self, text: str) -> None:
        self.text = text
        self.size_bytes = len(text)

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        del outputs
        return {"text": np.array([self.text] * len(inputs["input"]), dtype=object)}


class TextRuntime:
    """Loads text files; one that holds `wait` only when the test lets it."""

    platform = "text"

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.begun = threading.Event()
        self.go = threading.Event()

    def load(self, folder: Path) -> TextModel:
        self.loads.append(folder.name)
        text = (folder / "text").read_text()
        if text == "wait":
            self.begun.set()
            assert self.go.wait(WAIT)
        if text == "bad":
            raise UnacceptableError("It is bad.")
        if text == "crash":
            raise ZeroDivisionError
        return TextModel(text)


@pytest.fixture
def runtime() -> TextRuntime:
    return TextRuntime()


@pytest.fixture
def repository(models: Path, runtime: TextRuntime, loaders: Executor) -> Repository:
    return Repository(ModelFolder(models), runtime, RuntimeOptions(max_memory=100), loaders)


def write(models: Path, model: str, version: str, text: str) -> Path:
    folder = models / model / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text").write_text(text)
    return folder


def load(repository: Repository, model: str, version: str) -> str:
    loaded = repository.load(model, version).result(WAIT).loaded
    assert isinstance(loaded, TextModel)
    return loaded.text


def states(repository: Repository) -> dict[tuple[str, str], str]:
    return {(item.name, item.version): item.state for item in repository.index()}


def test_versions_stand_side_by_side(repository: Repository, models: Path) -> None:
    write(models, "m", "1", "one")
    write(models, "m", "2", "two")
    assert repository.find("m", "1") is None
    assert load(repository, "m", "1") == "one"
    assert load(repository, "m", "2") == "two"
    found = repository.find("m", "1")
    assert found is not None
    assert found.version == "1"


def test_simultaneous_first_uses_load_once(
    repository: Repository, models: Path, runtime: TextRuntime
) -> None:
    write(models, "m", "1", "wait")
    first = repository.load("m", "1")
    assert runtime.begun.wait(WAIT)
    others = [repository.load("m", "1") for _ in range(5)]
    runtime.go.set()
    assert {id(future.result(WAIT)) for future in (first, *others)} == {id(first.result())}
    assert runtime.loads == ["1"]


def test_loading_one_keeps_nobody_from_another(
    repository: Repository, models: Path, runtime: TextRuntime
) -> None:
    write(models, "slow", "1", "wait")
    write(models, "quick", "1", "now")
    slow = repository.load("slow", "1")
    assert runtime.begun.wait(WAIT)
    assert load(repository, "quick", "1") == "now"
    assert repository.find("quick", "1") is not None
    assert states(repository) == {("slow", "1"): "LOADING", ("quick", "1"): "READY"}
    assert not slow.done()
    runtime.go.set()
    assert slow.result(WAIT).model == "slow"


def test_a_loaded_version_is_not_loaded_again(
    repository: Repository, models: Path, runtime: TextRuntime
) -> None:
    write(models, "m", "1", "one")
    load(repository, "m", "1")
    load(repository, "m", "1")
    assert runtime.loads == ["1"]


def test_the_least_recently_used_goes_and_comes_back(repository: Repository, models: Path) -> None:
    for model in "abc":
        write(models, model, "1", model * 45)
    load(repository, "a", "1")
    load(repository, "b", "1")
    repository.find("a", "1")
    load(repository, "c", "1")
    assert states(repository) == {("a", "1"): "READY", ("b", "1"): "UNAVAILABLE", ("c", "1"): "READY"}
    assert load(repository, "b", "1") == "b" * 45


def test_an_evicted_version_finishes_what_it_was_found_for(repository: Repository, models: Path) -> None:
    write(models, "a", "1", "a" * 60)
    write(models, "b", "1", "b" * 60)
    before = repository.load("a", "1").result(WAIT)
    load(repository, "b", "1")
    assert repository.find("a", "1") is None
    assert before.loaded.predict({"input": np.zeros(1)}, ())["text"].tolist() == ["a" * 60]


def test_a_model_larger_than_the_memory_is_refused_and_evicts_nobody(
    repository: Repository, models: Path
) -> None:
    write(models, "small", "1", "x")
    write(models, "large", "1", "x" * 101)
    load(repository, "small", "1")
    with pytest.raises(UnacceptableError, match="101 bytes"):
        load(repository, "large", "1")
    assert repository.find("small", "1") is not None


@pytest.mark.parametrize(("text", "error"), [("bad", UnacceptableError), ("crash", ZeroDivisionError)])
def test_a_load_that_fails_leaves_nothing(
    repository: Repository, models: Path, text: str, error: type[Exception]
) -> None:
    folder = write(models, "m", "1", text)
    with pytest.raises(error):
        load(repository, "m", "1")
    assert states(repository) == {("m", "1"): "UNAVAILABLE"}
    (folder / "text").write_text("x" * 100)
    assert load(repository, "m", "1") == "x" * 100


def test_replaced_files_are_served_after_a_refresh(repository: Repository, models: Path) -> None:
    write(models, "m", "1", "old")
    load(repository, "m", "1")
    repository.refresh()
    assert repository.find("m", "1") is not None
    write(models, "m", "1", "newer")
    repository.refresh()
    assert repository.find("m", "1") is None
    assert load(repository, "m", "1") == "newer"


def test_an_explicit_load_notices_replaced_files_at_once(repository: Repository, models: Path) -> None:
    write(models, "m", "1", "old")
    load(repository, "m", "1")
    write(models, "m", "1", "newer")
    assert load(repository, "m", "1") == "newer"


def test_a_version_whose_folder_is_gone_is_dropped(repository: Repository, models: Path) -> None:
    write(models, "m", "1", "one")
    load(repository, "m", "1")
    shutil.rmtree(models / "m")
    repository.refresh()
    assert repository.find("m", "1") is None
    with pytest.raises(NotFoundError):
        load(repository, "m", "1")


def test_the_newest_version_is_followed(repository: Repository, models: Path) -> None:
    write(models, "m", "1", "one")
    assert repository.newest("m") == "1"
    load(repository, "m", "1")
    assert repository.find("m", None) is not None
    later = time.time_ns() + 10**9
    write(models, "m", "2", "two")
    os.utime(models / "m" / "2", ns=(later, later))
    repository.refresh()
    assert repository.find("m", None) is None
    load(repository, "m", "2")
    found = repository.find("m", None)
    assert found is not None
    assert found.version == "2"
    shutil.rmtree(models / "m")
    repository.refresh()
    with pytest.raises(NotFoundError):
        repository.newest("m")


def test_unload_drops_one_version_or_all(repository: Repository, models: Path) -> None:
    for version in "123":
        write(models, "m", version, version)
        load(repository, "m", version)
    repository.unload("m", "2")
    assert states(repository) == {("m", "1"): "READY", ("m", "2"): "UNAVAILABLE", ("m", "3"): "READY"}
    repository.unload("m", None)
    assert set(states(repository).values()) == {"UNAVAILABLE"}
    repository.unload("nobody", None)
