"""A server starts only where it should, and says in one sentence what is in its way."""

import pytest

from mlhub.common.errors import UnacceptableError
from mlhub.servers.command import check_exposure
from mlhub.servers.frameworks import FRAMEWORKS, Framework, check_framework


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_permission(host: str) -> None:
    check_exposure(host, allow_remote=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])  # noqa: S104 - refused
def test_other_addresses_need_permission(host: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UnacceptableError, match="--allow-remote"):
        check_exposure(host, allow_remote=False)
    check_exposure(host, allow_remote=True)
    assert "anyone who can reach this port" in caplog.text


def test_an_unknown_framework_is_named_with_those_there_are() -> None:
    with pytest.raises(UnacceptableError, match=r"no model server for 'caffe'.*sklearn"):
        check_framework("caffe")


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        FRAMEWORKS, "other", Framework("mlhub.servers.other", "Other", ("nowhere_to_be_found",))
    )
    with pytest.raises(UnacceptableError, match=r"pip install 'mlhub\[other\]'"):
        check_framework("other")
