"""Idempotency keys: which are taken, and whose they are."""

import falcon.testing
import pytest

from mlhub.api.idempotency import key_of
from mlhub.common.errors import MalformedError


def key(value: str | None, sender: str = "a") -> str | None:
    headers = {"Authorization": f"Bearer {sender}"}
    if value is not None:
        headers["Idempotency-Key"] = value
    return key_of(falcon.testing.create_asgi_req(headers=headers))


def test_a_request_without_a_key_has_none() -> None:
    assert key(None) is None


def test_keys_are_those_of_one_owner() -> None:
    assert key("k") == key("k")
    assert key("k") != key("l")
    assert key("k") != key("k", sender="b")
    assert key("~" * 255) is not None


@pytest.mark.parametrize("value", ["x" * 256, "two words", "ä", "tab\tinside"])
def test_odd_keys_are_refused(value: str) -> None:
    with pytest.raises(MalformedError):
        key(value)
