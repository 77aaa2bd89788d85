"""What the look into pickles finds, and that nothing in a file can end or hold it."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LinearRegression
from skops.io import dumps

from mlhub.common.errors import UnacceptableError
from mlhub.workers.bundle import pickles
from mlhub.workers.bundle.pickles import scan
from mlhub.workers.deadline import Deadline, OverdueError


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


class Sneaky:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("1",)


def look(folder: Path, files: dict[str, bytes], seconds: float = 60) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    scan(folder, Deadline(seconds, "Looking"))


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"model.pkl": pickle.dumps(Evil())}, ["model.pkl", "system"]),
        ({"deep/er/x.joblib": pickle.dumps([Sneaky()], protocol=0)}, ["deep/er/x.joblib", "eval"]),
        ({"no.suffix": pickle.dumps(Evil(), protocol=4)}, ["no.suffix", "system"]),
        ({"model.pt": zipped({"m/data.pkl": pickle.dumps(Evil())})}, ["model.pt", "system"]),
        ({"weights.npz": zipped({"a.pkl": pickle.dumps(Sneaky())})}, ["weights.npz", "eval"]),
        ({"cut.pkl": pickle.dumps(Evil())[:-1]}, ["cut.pkl", "system"]),
    ],
)
def test_what_would_run_code_is_refused_by_file_and_name(
    tmp_path: Path, files: dict[str, bytes], named: list[str]
) -> None:
    with pytest.raises(UnacceptableError) as caught:
        look(tmp_path, files)
    assert caught.value.code == "unsafe_pickle"
    assert all(name in caught.value.detail for name in named)
    assert str(tmp_path) not in caught.value.detail


@pytest.mark.parametrize(
    "files",
    [
        {"saved_model.pb": b"\x08\x01", "variables/variables.data-00000-of-00001": bytes(100)},
        {"model.skops": dumps(LinearRegression().fit([[1], [2]], [1, 2]))},
        {"model.pkl": pickle.dumps(LinearRegression().fit([[1], [2]], [1, 2]))},
        {"table.dat": b"1 2 3\n", "labels.txt": b"a\nb\n", "README.md": b"# Hello"},
        {"empty.pkl": b"", "empty.bin": b""},
    ],
)
def test_what_runs_no_code_passes(tmp_path: Path, files: dict[str, bytes]) -> None:
    look(tmp_path, files)


def test_a_scanner_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(OverdueError) as caught:
        look(tmp_path, {"model.pkl": pickle.dumps([1])}, seconds=0)
    assert "MLHUB_STEP_TIMEOUT" in caught.value.detail


def test_what_the_scanner_falls_over_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnacceptableError) as caught:
        # STACK_GLOBAL without anything on the stack.
        look(tmp_path, {"model.pkl": b"\x80\x04\x93."})
    assert caught.value.code == "unsafe_pickle"


def test_no_process_is_started_for_files_that_are_no_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles.subprocess, "run", None)
    look(tmp_path, {"saved_model.pb": b"\x08\x01", "labels.txt": b""})
