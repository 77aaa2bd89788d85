"""Traces are wanted where OpenTelemetry's variables say so, and cost nothing elsewhere."""

import subprocess
import sys

import pytest

from mlhub.common import tracing
from mlhub.common.settings import SettingsError
from mlhub.common.tracing import TRACEPARENT, Attributes, Kind, spanning


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SERVICE_NAME": "hub", "OTEL_TRACES_SAMPLER": "always_on"}, False),
    ],
)
def test_an_exporter_makes_traces(variables: dict[str, str], wanted: bool) -> None:
    assert tracing.is_wanted(variables) is wanted


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "the hub has otlp, console and none"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "otlp"},
            "the hub sends http/protobuf, which collectors take on port 4318",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
                "OTEL_TRACES_EXPORTER": "otlp",
            },
            "is http/json",
        ),
    ],
)
def test_what_cannot_be_sent_is_said_at_the_start(variables: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        tracing.check(variables)


def test_without_an_exporter_nothing_is_imported() -> None:
    program = (
        "import sys, mlhub.api.app, mlhub.workers.app, mlhub.servers.app;"
        "from mlhub.common.tracing import create_tracing;"
        "assert create_tracing('part') is None;"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    environment = {"OTEL_SERVICE_NAME": "hub", "OTEL_TRACES_SAMPLER": "always_on"}
    assert subprocess.run((sys.executable, "-c", program), env=environment, check=False).returncode == 0


class Notebook:
    """Notes what spans are made, and in which."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, tuple[str, ...]]] = []
        self.ended: list[tuple[str, str]] = []

    def begin(self, name: str, kind: Kind, parents: "list[str]", attributes: Attributes) -> "Page":
        self.begun.append((name, tuple(parents)))
        return Page(self, name)


class Page:
    def __init__(self, notebook: Notebook, name: str) -> None:
        self._notebook = notebook
        self.traceparent = name

    def end(self, error: str = "") -> None:
        self._notebook.ended.append((self.traceparent, error))


def test_spans_lie_within_those_around_them() -> None:
    notebook = Notebook()
    with spanning(notebook, "outer", Kind.SERVER, {}, ["a", "b"]):  # type: ignore[arg-type]
        with pytest.raises(ZeroDivisionError), spanning(notebook, "inner", Kind.CLIENT, {}):  # type: ignore[arg-type]
            _ = 1 / 0
        with pytest.raises(SettingsError), spanning(notebook, "next", Kind.CLIENT, {}):  # type: ignore[arg-type]
            raise SettingsError("wrong", code="wrong")
    assert notebook.begun == [("outer", ("a", "b")), ("inner", ("outer",)), ("next", ("outer",))]
    assert notebook.ended == [("inner", "ZeroDivisionError"), ("next", "wrong"), ("outer", "")]
    assert TRACEPARENT.get() == ""
    with spanning(None, "nothing", Kind.CLIENT, {}):
        assert TRACEPARENT.get() == ""
