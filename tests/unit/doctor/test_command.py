"""Whose settings the doctor looks at."""

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlhub.doctor import command
from mlhub.local import processes
from mlhub.local.instance import Instance
from mlhub.local.program import Plan


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a hub that was started with some settings."""
    instance = Instance(tmp_path)
    instance.prepare()
    environment = {"MLHUB_BROKER_URL": "amqp://there//", "MLHUB_DATABASE": "there"}
    plan = Plan(programs=(), environment=environment, host="127.0.0.1", port=1)
    instance.plan.write_bytes(msgspec.json.encode(plan))
    return tmp_path


@pytest.fixture
def looked_at(data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tell which settings are looked at when some are set besides."""

    def look() -> tuple[str, str]:
        monkeypatch.setenv("MLHUB_BROKER_URL", "amqp://here//")
        monkeypatch.delenv("MLHUB_DATABASE", raising=False)
        settings = os.environ | command._environment(data)  # noqa: SLF001 (what the command begins with)
        return settings["MLHUB_BROKER_URL"], settings["MLHUB_DATABASE"]

    return look


def test_a_hub_that_runs_is_looked_at_as_it_was_started(
    looked_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "find_watcher", lambda _folder: object())
    assert looked_at() == ("amqp://there//", "there")


def test_of_one_that_does_not_run_only_what_is_not_set_otherwise(looked_at: Any) -> None:
    assert looked_at() == ("amqp://here//", "there")


def test_nothing_runs_where_nothing_can_be_started(looked_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlhub.local.processes", None)
    monkeypatch.delattr("mlhub.local.processes", raising=False)
    assert looked_at() == ("amqp://here//", "there")


def test_without_a_hub_nothing_is_added(tmp_path: Path) -> None:
    assert command._environment(tmp_path / "none") == {}  # noqa: SLF001 (as above)
