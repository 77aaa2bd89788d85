"""Settings that do not fit together are found, each with what to do."""

from pathlib import Path
from typing import Any

import pytest

from mlhub.common.settings import Settings
from mlhub.doctor.contradictions import look_at_settings
from mlhub.doctor.finding import State

GOOD: dict[str, Any] = {"backends": {"sklearn": {"types": ["ScikitLearn"]}}, "token": None}


def find(**settings: Any) -> list[tuple[State, str]]:
    found = list(look_at_settings(Settings.model_validate(GOOD | settings)))
    assert all(finding.advice for finding in found if finding.state is not State.GOOD)
    return [(finding.state, f"{finding.detail} {finding.advice}") for finding in found]


def test_a_variable_that_is_hardly_named_otherwise_than_a_setting_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLHUB_ALLOW_PICKELS", "true")
    monkeypatch.setenv("MLHUB_SOMEBODY_ELSES", "1")
    monkeypatch.setenv("MLHUB_PORTS", "tcp://10.0.0.1:8181")
    monkeypatch.setenv("MLHUB_DATA", ".mlhub")
    ((state, words),) = find()
    assert state is State.WARNING
    assert "MLHUB_ALLOW_PICKELS" in words
    assert "MLHUB_ALLOW_PICKLES" in words


def test_settings_that_agree_are_good() -> None:
    assert find() == [(State.GOOD, "They agree; backends: sklearn. ")]


@pytest.mark.parametrize(
    ("settings", "state", "words"),
    [
        ({"host": "0.0.0.0"}, State.BAD, "MLHUB_TOKEN"),  # noqa: S104
        ({"default_wait": 60, "max_wait": 30}, State.BAD, "MLHUB_DEFAULT_WAIT"),
        ({"max_prediction_bytes": 16 * 1024 * 1024}, State.BAD, "MLHUB_MAX_PREDICTION_BYTES"),
        ({"max_unpacked_bytes": 1000}, State.WARNING, "MLHUB_MAX_UNPACKED_BYTES"),
        ({"allow_pickles": True}, State.WARNING, "MLHUB_ALLOW_PICKLES"),
        ({"backends": {}}, State.BAD, "MLHUB_BACKENDS"),
        ({"backends": {"a": {"timeout": 1000}}}, State.WARNING, "'timeout' of a"),
        ({"backends": {"a": {"credentials": {"variable": "NOT_SET_HERE"}}}}, State.WARNING, "NOT_SET_HERE"),
        (
            {"backends": {"a": {"credentials": {"file": "/nonexistent/secret"}}}},
            State.WARNING,
            "/nonexistent/secret",
        ),
        ({"backends": {"a": {"pools": {"predict": {"minimum": 0}}}}}, State.WARNING, "'predict' of a"),
        ({"max_json_bytes": 64 * 1024 * 1024}, State.WARNING, "max_message_size"),
    ],
)
def test_what_does_not_fit_is_named_with_what_to_change(
    settings: dict[str, Any], state: State, words: str
) -> None:
    ((found, text),) = find(**settings)
    assert found is state
    assert words in text


def test_a_secret_that_is_there_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", "hush")
    file = tmp_path / "secret"
    file.write_text("hush")
    for credentials in ({"variable": "THE_SECRET"}, {"file": str(file)}):
        ((state, text),) = find(backends={"a": {"credentials": credentials}})
        assert state is State.GOOD
        assert "hush" not in text
