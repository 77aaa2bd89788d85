"""The hub shows its model servers who it is, and nobody else the secret."""

import base64
from pathlib import Path

import pytest

from mlhub.common.backend import BackendSettings, CredentialSettings
from mlhub.common.errors import BackendError
from mlhub.common.settings import SettingsError
from mlhub.workers.adapters import create_adapter
from mlhub.workers.adapters.credentials import Credentials


def test_a_secret_from_a_variable_is_a_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_TOKEN", " sesame\n")
    assert Credentials(CredentialSettings(variable="MODEL_TOKEN")).header() == "Bearer sesame"


def test_with_a_name_it_is_a_password(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sesame\n")
    header = Credentials(CredentialSettings(username="hub", file=tmp_path / "secret")).header()
    assert header == "Basic " + base64.b64encode(b"hub:sesame").decode()


def test_a_file_that_changes_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    found = Credentials(CredentialSettings(file=file))
    assert found.header() == "Bearer old"
    file.write_text("new")
    assert found.header() == "Bearer old"
    monkeypatch.setattr("mlhub.workers.adapters.credentials._FRESH", 0.0)
    assert found.header() == "Bearer new"


def test_a_servers_words_do_not_repeat_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sesame")
    found = Credentials(CredentialSettings(username="hub", file=tmp_path / "secret"))
    said = f"bad login {found.header()} or sesame"
    assert found.conceal(said) == "bad login Basic … or …"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"two\nlines", b"\xff", "größe".encode()])
def test_a_secret_that_is_not_there_or_unusable_ends_the_start(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    credentials = CredentialSettings(file=file)
    with pytest.raises(SettingsError, match="secret") as caught:
        create_adapter(BackendSettings(credentials=credentials))
    assert str(tmp_path) not in caught.value.detail
    with pytest.raises(BackendError):
        Credentials(credentials).header()


def test_a_variable_that_is_not_set_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL_TOKEN", raising=False)
    with pytest.raises(SettingsError, match="MODEL_TOKEN"):
        create_adapter(BackendSettings(credentials=CredentialSettings(variable="MODEL_TOKEN")))


def test_an_unknown_protocol_is_named_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no protocol 'odd'.* oip"):
        create_adapter(BackendSettings(protocol="odd"))


def test_unknown_options_are_named() -> None:
    with pytest.raises(SettingsError, match="colour"):
        create_adapter(BackendSettings(options={"colour": 1}))


def test_certificates_that_are_not_there_end_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ca_file"):
        create_adapter(BackendSettings(ca_file=tmp_path / "ca.pem"))
