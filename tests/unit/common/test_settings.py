"""Settings from variables and a file."""

from pathlib import Path

import pytest

from mlhub.common.model import ModelType
from mlhub.common.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("MLHUB_"):
            monkeypatch.delenv(name)


def test_variables_win_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mlhub.toml"
    file.write_text('port = 1\nhost = "127.0.0.2"\n[backends.tf]\ntypes = ["TensorFlow"]\n')
    monkeypatch.setenv("MLHUB_CONFIG", str(file))
    monkeypatch.setenv("MLHUB_PORT", "2")
    settings = load_settings()
    assert (settings.port, settings.host) == (2, "127.0.0.2")
    assert settings.backend_for(ModelType.TENSORFLOW) == "tf"
    assert settings.backend_for(ModelType.KERAS) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("MLHUB_PORT", "many"), ("MLHUB_BACKENDS", "{}}"), ("MLHUB_BACKENDS", '{"x": {"timeout": 0}}')],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="MLHUB_"):
        load_settings()
