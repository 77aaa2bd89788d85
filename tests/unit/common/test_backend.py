"""The settings of a backend: what is wrong in them is said when a process starts, and they hold no secret."""

from pathlib import Path
from typing import Any

import pytest

from mlhub.common.backend import BackendSettings
from mlhub.common.settings import Settings, SettingsError, load_settings


def test_they_can_be_written_down_and_read_again(tmp_path: Path) -> None:
    settings = BackendSettings(
        protocol="tfaas",
        addresses=("https://models.example:8083/base/",),
        credentials={"username": "hub", "file": tmp_path / "secret"},  # type: ignore[arg-type]
        options={"connections": 4},
    )
    assert settings.addresses == ("https://models.example:8083/base",)
    assert BackendSettings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"addresses": []},
        {"addresses": ["models.example:8083"]},
        {"addresses": ["ftp://models.example"]},
        {"addresses": ["http://models.example:port"]},
        {"addresses": ["http://models.example/?a=b"]},
        {"addresses": ["http://"]},
        {"timeout": 0},
        {"slots": -1},
        {"unknown": 1},
        {"credentials": {}},
        {"credentials": {"variable": "A", "file": "b"}},
        {"credentials": {"token": "plain"}},
        {"credentials": {"variable": "A", "username": "a:b"}},
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    monkeypatch.setenv("MLHUB_BACKENDS", msgspec.json.encode({"mine": wrong}).decode())
    with pytest.raises(SettingsError, match=r"MLHUB_BACKENDS \('backends\.mine[.a-z0-9]*'"):
        load_settings()


@pytest.mark.parametrize(
    "address", ["http://me:sesame@models.example", "htp://me:sesame@models.example", "http://me:sesame@x:y"]
)
def test_a_password_in_an_address_is_refused_without_repeating_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLHUB_BACKENDS", f'{{"mine": {{"addresses": ["{address}"]}}}}')
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "sesame" not in caught.value.detail


@pytest.mark.parametrize("name", ["", "two words", "a.b", "-x", "x" * 64])
def test_a_backends_name_fits_into_the_names_of_queues(name: str) -> None:
    with pytest.raises(ValueError, match="backends"):
        Settings(backends={name: BackendSettings()})
