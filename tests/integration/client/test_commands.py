"""The command line against a running hub, as processes of its own."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(hub: Any, tmp_path: Path) -> Run:
    """Runs `mlhub` with arguments, in a folder of the test's own."""

    def run(*arguments: str, given: bytes = b"", url: str = hub.url) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            (sys.executable, "-m", "mlhub", *arguments),
            input=given,
            capture_output=True,
            cwd=tmp_path,
            env=os.environ | {"MLHUB_URL": url},
            timeout=150,
            check=False,
        )

    return run


@pytest.fixture
def name() -> str:
    """A model's name that nothing else uses."""
    return f"c-{uuid.uuid4().hex[:8]}"


def test_upload_creates_the_entry_and_download_brings_the_same_bytes(
    run: Run, name: str, digits: Any, tmp_path: Path
) -> None:
    (tmp_path / "d.tar.gz").write_bytes(digits.bundle)
    done = run("upload", name, "d.tar.gz", "--type", "ScikitLearn")
    assert (done.returncode, done.stderr.decode()) == (0, f"Created the entry {name}.\n")
    assert done.stdout.decode().split() == [name, "1", "ready"]
    again = run(
        "upload", name, "-", "--version", "two", "--type", "ScikitLearn", "--json", given=digits.bundle
    )
    assert (again.returncode, again.stderr) == (0, b"")
    assert msgspec.json.decode(again.stdout)["state"] == "ready"
    assert run("download", name).returncode == 0
    assert (tmp_path / f"{name}-two.tar.gz").read_bytes() == digits.bundle
    told = msgspec.json.decode(run("download", name, "x.tgz", "--version", "1", "--json").stdout)
    assert told == {"path": "x.tgz", "size": len(digits.bundle)}


def test_an_upload_to_a_missing_entry_says_how_to_create_it(run: Run, name: str, tmp_path: Path) -> None:
    (tmp_path / "d.tar.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    done = run("upload", name, "d.tar.gz")
    assert done.returncode == 1
    assert b"--type" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_what_is_no_archive_leaves_no_entry_behind(run: Run, name: str, tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("text")
    assert run("upload", name, "d.txt", "--type", "ScikitLearn").returncode == 1
    assert run("show", name).returncode == 1


def test_an_entry_is_created_listed_shown_changed_and_deleted(run: Run, name: str, tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text('{"depth": 3}')
    # Brackets and control characters of the user's own stay what they are, or at least do no harm.
    text = "an [/odd] [red]text\x1b[31m"
    made = run(
        "create", name, "--type", "ScikitLearn", "--meta", "@meta.json", "--tag", name, "--description", text
    )
    assert (made.returncode, made.stderr) == (0, b"")
    listed = run("models", "--tag", name)
    assert name in listed.stdout.decode()
    assert "an [/odd] [red]text\ufffd[31m" in listed.stdout.decode()
    shown = msgspec.json.decode(run("show", name, "--json").stdout)
    assert (shown["meta"], shown["description"], shown["state"]) == ({"depth": 3}, text, "empty")
    assert run("update", name, "--description", "plain").returncode == 0
    assert msgspec.json.decode(run("models", "--tag", name, "--json").stdout)[0]["description"] == "plain"
    assert run("delete", name).returncode == 2
    assert run("delete", name, "--yes").returncode == 0
    gone = run("show", name)
    assert (gone.returncode, gone.stdout, gone.stderr.count(b"\n")) == (1, b"", 1)
    assert run("models", "--tag", name).stdout == b"No models.\n"
    assert run("models", "--tag", name, "--json").stdout == b"[]\n"


def test_predict_prints_a_line_for_each_row(run: Run, published: str, digits: Any) -> None:
    one = run("predict", published, msgspec.json.encode(digits.rows[0].tolist()).decode())
    assert (one.returncode, one.stdout, one.stderr) == (0, b"%d\n" % digits.expected[0], b"")
    rows = msgspec.json.encode({"input": digits.rows.tolist()})
    many = run("predict", published, "-", given=rows)
    assert many.stdout.decode().split() == [str(value) for value in digits.expected]
    answer = msgspec.json.decode(run("predict", published, "-", "--json", given=rows).stdout)
    assert answer == {"model": published, "version": "1", "output": digits.expected, "labels": None}


@pytest.mark.parametrize("form", ["npy", "json", "csv"])
def test_rows_and_outputs_may_be_files(
    run: Run, published: str, digits: Any, tmp_path: Path, form: str
) -> None:
    rows = tmp_path / f"rows.{form}"
    if form == "npy":
        np.save(rows, digits.rows)
    elif form == "json":
        rows.write_bytes(msgspec.json.encode(digits.rows.tolist()))
    else:
        header = ",".join(f"pixel{index}" for index in range(64))
        np.savetxt(rows, digits.rows, delimiter=",", header=header, comments="")
    done = run("predict", published, "--file", rows.name, "--output", f"out.{form}")
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    written = tmp_path / f"out.{form}"
    read = {
        "npy": lambda: np.load(written).tolist(),
        "json": lambda: msgspec.json.decode(written.read_bytes()),
        "csv": lambda: [int(line) for line in written.read_text().split()],
    }[form]()
    assert read == digits.expected


def test_inputs_may_have_names(run: Run, published: str, digits: Any) -> None:
    shown = msgspec.json.decode(run("show", published, "--version", "latest", "--json").stdout)
    # A model with one input takes it under any name; `input` alone would be read as the rows themselves.
    given = msgspec.json.encode({"pixels": digits.rows[:2].tolist()})
    done = run("predict", published, "-", "--json", given=given)
    outputs = msgspec.json.decode(done.stdout)["output"]
    assert outputs[shown["signature"]["outputs"][0]["name"]] == digits.expected[:2]


def test_another_output_may_be_asked_for(run: Run, published: str, digits: Any) -> None:
    row = msgspec.json.encode(digits.rows[0].tolist()).decode()
    one = msgspec.json.decode(run("predict", published, row, "--give", "predict_proba").stdout)
    assert np.argmax(one) == digits.expected[0]
    given = msgspec.json.encode(digits.rows[:3].tolist())
    names = ("--give", "predict", "--give", "predict_proba")
    answer = msgspec.json.decode(run("predict", published, "-", *names, "--json", given=given).stdout)
    assert (answer["version"], answer["output"]["predict"]) == ("1", digits.expected[:3])
    assert np.argmax(answer["output"]["predict_proba"], axis=1).tolist() == digits.expected[:3]


def test_a_prediction_is_submitted_and_looked_at_later(run: Run, published: str, digits: Any) -> None:
    given = msgspec.json.encode(digits.rows[:3].tolist())
    identity = run("predict", published, "-", "--async", given=given).stdout.decode().strip()
    done = msgspec.json.decode(run("job", identity, "--wait", "60", "--json").stdout)
    assert (done["status"], done["output"]) == ("succeeded", digits.expected[:3])
    people = run("job", identity).stdout.decode()
    assert "succeeded" in people
    assert identity in run("jobs", "--model", published).stdout.decode()
    assert run("job", identity, "--cancel").returncode == 1
    assert run("job", identity, "--output", "out.json").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("predict", "digits"), 2, "--file"),
        (("predict", "digits", "[1, 2"), 1, "not JSON"),
        (("predict", "digits", "[1, 2]"), 1, "shape [64]"),
        (("predict", "digits", "[1]", "--output", "out.txt"), 2, ".npy"),
        (("predict", "digits", "--file", "missing.csv"), 2, "missing.csv"),
        (("predict", "nothing-here", "[1]"), 1, "nothing-here"),
        (("predict", "../x", "[1]"), 1, "name"),
        (("download", "digits", "no/such/folder/x"), 1, "no/such/folder"),
        (("models", "--state", "odd"), 1, "validating"),
        (("show", "digits", "--version", "99"), 1, "99"),
        (("create", "x", "--type", "ScikitLearn", "--meta", "[]"), 2, "JSON object"),
        (("create", "x", "--type", "ScikitLearn", "--meta", "@gone.json"), 1, "gone.json"),
        (("update", "digits"), 2, "at least one field"),
        (("job", "no-such-id"), 1, "no-such-id"),
    ],
)
@pytest.mark.usefixtures("published")
def test_what_goes_wrong_is_one_sentence(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run(*arguments)
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (code, b""), said
    assert words in " ".join(said.replace("│", " ").split()), said
    assert "Traceback" not in said
    if code == 1:
        assert said.count("\n") == 1


def test_the_status_is_a_table_for_people_and_json_for_programs(run: Run, free_address: str) -> None:
    people = run("status")
    assert people.returncode == 0
    assert "ready" in people.stdout.decode().splitlines()[0]
    assert msgspec.json.decode(run("status", "--json").stdout)["ready"] is True
    nobody = run("status", url=free_address)
    assert (nobody.returncode, nobody.stdout) == (1, b"")
    assert nobody.stderr.startswith(b"mlhub: No hub answers at http://127.0.0.1:")
    assert b"mlhub up" in nobody.stderr
