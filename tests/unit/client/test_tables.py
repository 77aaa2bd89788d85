"""What people read."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import msgspec
import pytest
from rich.console import Console, RenderableType

from mlhub.client import records
from mlhub.client.commands import tables, units
from mlhub.common.signature import Signature, TensorSpec

NOW = datetime.now(UTC)
VERSION = records.Version(
    version="2",
    state="ready",
    signature=Signature((TensorSpec("input", "FP32", (-1, 64)),), (TensorSpec("y", "INT64", (-1,)),)),
    bundle=records.Bundle("ab" * 32, 1536, "m-2.tar.gz"),
    created_at=NOW - timedelta(minutes=3),
)


def text(renderable: RenderableType) -> str:
    console = Console(file=StringIO(), width=200, highlight=False)
    console.print(renderable)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_sizes_are_short(count: int, written: str) -> None:
    assert units.size(count) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(-5, "just now"), (59, "just now"), (60, "1 min ago"), (7200, "2 h ago"), (3 * 86400, "3 d ago")],
)
def test_times_are_relative_until_they_are_long_ago(seconds: int, written: str) -> None:
    assert units.ago(NOW - timedelta(seconds=seconds), NOW) == written
    assert units.ago(datetime(2020, 1, 2, tzinfo=UTC), NOW) == "2020-01-02"
    assert units.ago(None) == ""


def test_a_model_is_shown_with_its_versions() -> None:
    model = records.Model(
        model="m",
        type="Keras",
        state="ready",
        version="2",
        meta={"a": 1},
        tags=("x", "y"),
        versions=(msgspec.structs.replace(VERSION, created_at=datetime.now(UTC) - timedelta(minutes=3)),),
    )
    shown = text(tables.model(model))
    for part in ("ready", "x, y", '{"a":1}', "input FP32 [n, 64]", "y INT64 [n]", "1.5 KiB", "3 min ago"):
        assert part in shown
    assert "2" in text(tables.models([model]))


def test_markup_and_control_characters_of_others_do_nothing() -> None:
    model = records.Model(model="m", type="Keras", state="odd[/]", description="[red]x[/bold] \x1b]0;t\x07")
    for shown in (text(tables.model(model)), text(tables.models([model]))):
        assert "[red]x[/bold] \ufffd]0;t\ufffd" in shown
        assert "odd[/]" in shown


def test_a_failed_version_shows_its_reason() -> None:
    shown = text(tables.version(records.Version(version="1", state="failed", error="No model in it.")))
    assert "No model in it." in shown


def test_the_status_shows_every_part() -> None:
    status = records.Status(
        version="0.1",
        ready=False,
        uptime=100,
        broker=records.Part("broker", healthy=False, detail="away"),
        backends=(records.Part("sklearn", healthy=True),),
    )
    shown = text(tables.status(status, "http://h"))
    for part in ("http://h", "not ready", "up 1 min", "broker", "away", "sklearn", "well"):
        assert part in shown


def test_a_long_output_is_cut_and_says_so() -> None:
    prediction = records.Prediction(id="p", status="succeeded", output=list(range(30)), model="m")
    shown = text(tables.prediction(prediction))
    assert "and 20 more" in shown
    assert "p" in text(tables.predictions([prediction]))
