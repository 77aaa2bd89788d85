"""The root of the command line."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import mlhub
from mlhub.__main__ import main


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlhub", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        cwd=folder,
    )


def test_help_names_every_command() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    commands = [
        "up",
        "down",
        "status",
        "api",
        "worker",
        "serve",
        "scaler",
        "scale",
        "doctor",
        "models",
        "show",
        "upload",
        "download",
        "predict",
    ]
    assert [command for command in commands if f" {command} " not in answer.stdout] == []


def test_without_arguments_there_is_help() -> None:
    assert "Usage: " in run().stdout + run().stderr


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"mlhub {mlhub.__version__}\n"


def test_help_is_quick_since_it_imports_no_heavy_library() -> None:
    script = "import sys, mlhub.__main__; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    heavy = {"celery", "circus", "falcon", "numpy", "pymongo", "requests", "sklearn"}
    assert heavy & set(loaded.split()) == set()


def test_an_error_is_one_sentence_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = run("up", "--data", "file/hub", folder=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr == f"mlhub: {tmp_path}/file/hub cannot be used for data: Not a directory.\n"


def test_an_error_is_json_where_that_is_asked_for() -> None:
    answer = run("models", "--json", "--url", "http://127.0.0.1:1")
    assert (answer.returncode, answer.stdout) == (1, "")
    error = json.loads(answer.stderr)["error"]
    assert (error["code"], error["status"]) == ("no_hub", None)
    assert "127.0.0.1:1" in error["detail"]


def test_other_addresses_than_loopback_are_refused_without_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLHUB_TOKEN", raising=False)
    answer = run("up", "--host", "0.0.0.0", folder=tmp_path)  # noqa: S104 (refused)
    assert answer.returncode == 2
    assert "set MLHUB_TOKEN" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["up"],
        ["api"],
        ["worker", "--kind", "predict"],
        ["worker", "--kind", "jobs"],
        ["serve", "sklearn"],
        ["scaler"],
        ["doctor"],
    ],
)
def test_each_process_refuses_to_start_with_a_wrong_setting(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLHUB_BUNDLES", "s3://")
    monkeypatch.setattr(sys, "argv", ["mlhub", *command])
    monkeypatch.chdir(tmp_path)
    level = logging.root.manager.disable
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        logging.disable(level)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "mlhub: The setting MLHUB_BUNDLES ('bundles' in a TOML file) is wrong: write the bucket, too: "
        "s3://bucket/prefix.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_stopping_where_nothing_runs_is_no_error(tmp_path: Path) -> None:
    answer = run("down", folder=tmp_path)
    assert answer.returncode == 0
    assert answer.stdout == f"No hub runs in {tmp_path}/.mlhub.\n"
    assert list(tmp_path.iterdir()) == []
