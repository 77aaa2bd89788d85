"""Addresses: what users give, and what is made of names."""

import pytest

from mlhub.client import HubError
from mlhub.client.address import base_url, model_path, next_url, version_path


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://hub:8181/", "http://hub:8181"),
        ("https://example.org/ml/hub", "https://example.org/ml/hub"),
        ("127.0.0.1:8181", "http://127.0.0.1:8181"),
        ("localhost", "http://localhost"),
        ("[::1]:8181", "http://[::1]:8181"),
    ],
)
def test_an_address_may_be_short(given: str, url: str) -> None:
    assert base_url(given) == url


@pytest.mark.parametrize("given", ["ftp://hub", "http://", "hub:port", "http://hub:99999", "http://[::1"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(HubError, match="is not the address of a hub"):
        base_url(given)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a?b", "a#b", "ä", "a" * 129, "%2e%2e", "a\n"])
def test_a_name_that_would_lead_elsewhere_is_not_sent(name: str) -> None:
    with pytest.raises(HubError, match="name has"):
        model_path(name)
    with pytest.raises(HubError, match="name has"):
        version_path("m", name)


def test_paths_are_made_of_names() -> None:
    assert model_path("a-1.b_c", "upload") == "/model/a-1.b_c/upload"
    assert version_path("m", "latest", "predict") == "/model/m/versions/latest/predict"


def test_a_next_page_is_relative_to_the_page_before() -> None:
    assert next_url("http://h:1/x/models?a=1", "/x/models?cursor=2") == "http://h:1/x/models?cursor=2"
    assert next_url("http://h:1/models?a=1", "http://h:1/models?cursor=2") == "http://h:1/models?cursor=2"
    with pytest.raises(HubError):
        next_url("https://h/models", "http://h/models?cursor=2")
