"""The dashboard and the alerts ask for numbers that the hub has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from mlhub.common.metrics import FAMILIES, Kind

FOLDER: Final = Path(__file__).parents[3] / "deploy" / "monitoring"
SERIES: Final = {
    f"{name}{end}"
    for name, family in FAMILIES.items()
    for end in (("_bucket", "_sum", "_count") if family.kind is Kind.HISTOGRAM else ("",))
}
SELECTION: Final = re.compile(r"(mlhub_\w+)(?:\{([^}]*(?:\{name\}[^}]*)?)\})?")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "grafana.json").read_text())["panels"]
    return found


def expressions() -> list[str]:
    shown = [target["expr"] for panel in dashboard() for target in panel["targets"]]
    return [rule["expr"] for rule in alerts()] + shown


@pytest.mark.parametrize("expression", expressions())
def test_every_number_exists_with_its_labels(expression: str) -> None:
    asked = SELECTION.findall(expression)
    assert asked or "up{" in expression
    for name, selectors in asked:
        assert name in SERIES, name
        family = (
            FAMILIES[re.sub(r"_(bucket|sum|count)$", "", name)] if name not in FAMILIES else FAMILIES[name]
        )
        labels = re.findall(r'(\w+)\s*(?:=~|!=|=)\s*"', selectors)
        assert set(labels) <= {*family.labels, "process"}, (name, labels)


def test_every_number_is_on_the_dashboard_or_in_an_alert() -> None:
    text = " ".join(expressions())
    forgotten = {name for name in FAMILIES if name not in text}
    assert forgotten <= {
        "mlhub_process_start_time_seconds",
        "mlhub_queue_messages_unacknowledged",
        "mlhub_server_request_duration_seconds",
        "mlhub_job_retries_total",
    }


def test_alerts_say_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"].endswith(".")


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_prometheus_reads_the_files() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert all((FOLDER / name).is_file() for name in config["rule_files"])
    promtool = shutil.which("promtool")
    if promtool is not None:
        command = [promtool, "check", "config", "prometheus.yml"]
        checked = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
