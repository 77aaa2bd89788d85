"""Settings from variables and a file."""

from ipaddress import ip_address
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
    [
        ("MLHUB_WEBHOOK_SECRET", "too short"),
        ("MLHUB_WEBHOOK_PRIVATE", "10.0.0.0/8,nonsense"),
        ("MLHUB_PORT", "many"),
        ("MLHUB_BACKENDS", "{}}"),
        ("MLHUB_BACKENDS", '{"x": {"timeout": 0}}'),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} .*is "):
        load_settings()


@pytest.mark.parametrize(
    ("value", "public", "private", "loopback"),
    [
        ("false", True, False, False),
        ("true", True, True, True),
        ("10.0.0.0/8, fd00::/8", True, True, False),
        ('["10.1.0.0/16"]', True, True, False),
    ],
)
def test_webhooks_reach_what_is_set(
    monkeypatch: pytest.MonkeyPatch, value: str, public: bool, private: bool, loopback: bool
) -> None:
    monkeypatch.setenv("MLHUB_WEBHOOK_PRIVATE", value)
    reach = load_settings().webhook_reach
    allowed = [reach.allows(ip_address(text)) for text in ("8.8.8.8", "10.1.1.1", "127.0.0.1")]
    assert allowed == [public, private, loopback]


def test_a_secret_that_is_none_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLHUB_WEBHOOK_SECRET", "c2VjcmV0")
    with pytest.raises(SettingsError, match="openssl") as caught:
        load_settings()
    assert "c2VjcmV0" not in str(caught.value)


def test_a_file_that_is_not_there_is_no_file_without_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLHUB_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match=r"none\.toml, and there is no such file"):
        load_settings()
