"""Large files through the client and the command line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mlhub.client import Client, HubError


@pytest.fixture
def files(tmp_path: Path, digits: Any) -> Path:
    """A folder with rows in each form, and one that is wrong."""
    rows = np.resize(digits.rows, (5000, 64))
    np.save(tmp_path / "rows.npy", rows)
    np.savetxt(tmp_path / "rows.csv", rows, fmt="%g", delimiter=",")
    (tmp_path / "rows.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(rows.tolist()))
    np.save(tmp_path / "wrong.npy", rows[:, :63])
    return tmp_path


def mlhub(hub: Any, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "mlhub", *arguments),
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"MLHUB_URL": hub.url},
        timeout=150,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_file_of_rows_becomes_a_file_of_outputs(hub: Any, digits: Any, published: str, files: Path) -> None:
    expected = np.resize(digits.expected, 5000)
    told: list[tuple[int, int | None]] = []
    with Client(hub.url) as client:
        for name in ("rows.npy", "rows.csv", "rows.jsonl"):
            saved = client.predict_file(
                "digits", files / name, files / "out.npy", progress=lambda *done: told.append(done)
            )
            assert np.array_equal(np.load(saved), expected)
            assert told[-1] == (5000, 5000)
        client.predict_file("digits", files / "rows.npy", files / "out.csv", output="predict_proba")
    assert np.loadtxt(files / "out.csv", delimiter=",").shape == (5000, 10)
    assert {path.name for path in files.iterdir() if path.name.startswith(".")} == set()


def test_a_file_s_prediction_is_found_again(hub: Any, digits: Any, published: str, files: Path) -> None:
    sent: list[int] = []
    with Client(hub.url) as client:
        job = client.submit_file("digits", files / "rows.npy", progress=lambda done, _: sent.append(done))
        same = client.job(job.id)
        record = same.follow(timeout=60)
        assert record.progress is not None
        assert (record.status, record.progress.done) == ("succeeded", 5000)
        assert list(map(int, same.lines())) == np.resize(digits.expected, 5000).tolist()
    assert sent[-1] == (files / "rows.npy").stat().st_size


def test_what_the_model_does_not_take_is_refused(hub: Any, published: str, files: Path) -> None:
    with Client(hub.url) as client:
        with pytest.raises(HubError, match="shape") as refused:
            client.submit_file("digits", files / "wrong.npy")
        assert refused.value.status == 422
        with pytest.raises(HubError, match="does not end in"):
            client.predict_file("digits", files / "rows.npy", files / "out.txt")


def test_large_files_on_the_command_line(hub: Any, digits: Any, published: str, files: Path) -> None:
    done = mlhub(hub, files, "predict", "digits", "--file", "rows.npy", "--output", "out.npy")
    assert (done.returncode, done.stderr) == (0, "Wrote the outputs of 5,000 rows to out.npy.\n")
    assert np.load(files / "out.npy").tolist() == np.resize(digits.expected, 5000).tolist()

    printed = mlhub(hub, files, "predict", "digits", "--file", "rows.jsonl")
    assert list(map(int, printed.stdout.split())) == np.resize(digits.expected, 5000).tolist()

    identity = mlhub(hub, files, "predict", "digits", "-f", "rows.npy", "--async").stdout.strip()
    later = mlhub(hub, files, "job", identity, "--output", "later.ndjson", "--wait", "60")
    assert later.returncode == 0, later.stderr
    assert len((files / "later.ndjson").read_text().splitlines()) == 5000
    assert "5,000 of 5,000 (100%)" in mlhub(hub, files, "job", identity).stdout

    wrong = mlhub(hub, files, "predict", "digits", "--file", "wrong.npy", "--output", "out.npy")
    assert (wrong.returncode, "shape" in wrong.stderr) == (1, True)
    odd = mlhub(hub, files, "predict", "digits", "--file", "rows.npy", "--output", "out.json")
    assert odd.returncode == 2
