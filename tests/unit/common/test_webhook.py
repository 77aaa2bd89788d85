"""Signatures of webhooks, as any library for Standard Webhooks makes and checks them."""

import base64

import pytest

from mlhub.common.errors import UnauthenticatedError
from mlhub.common.webhook import secrets_of, sign, verify

# The example of the specification's own libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIME = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = base64.b64encode(bytes(range(32))).decode()


def headers(signature: str, timestamp: object = TIME) -> dict[str, str]:
    return {"Webhook-Id": ID, "Webhook-Timestamp": str(timestamp), "Webhook-Signature": signature}


def test_the_signature_is_that_of_the_specification() -> None:
    assert sign(secrets_of(SECRET), ID, TIME, BODY) == SIGNATURE


def test_each_secret_signs_so_that_receivers_can_change_one_after_the_other() -> None:
    both = sign(secrets_of(f"{OTHER} {SECRET}"), ID, TIME, BODY)
    assert both.split()[1] == SIGNATURE
    for secret in (SECRET, OTHER):
        verify(secret, headers(both), BODY, TIME + 60)


@pytest.mark.parametrize(
    ("secret", "given", "body", "time"),
    [
        (OTHER, headers(SIGNATURE), BODY, TIME),
        (SECRET, headers(SIGNATURE), BODY + b" ", TIME),
        (SECRET, headers(SIGNATURE), BODY, TIME + 301),
        (SECRET, headers(SIGNATURE), BODY, TIME - 301),
        (SECRET, headers(SIGNATURE, TIME + 1), BODY, TIME),
        (SECRET, headers(SIGNATURE, "soon"), BODY, TIME),
        (SECRET, headers(SIGNATURE) | {"Webhook-Id": "other"}, BODY, TIME),
        (SECRET, headers(""), BODY, TIME),
        (SECRET, headers("v1,\u00e4"), BODY, TIME),
        (SECRET, {}, BODY, TIME),
    ],
)
def test_what_was_not_signed_like_this_is_refused(
    secret: str, given: dict[str, str], body: bytes, time: float
) -> None:
    with pytest.raises(UnauthenticatedError):
        verify(secret, given, body, time)


@pytest.mark.parametrize(
    "text", ["", " ", "short", "whsec_", "not base64 at all!", base64.b64encode(bytes(65)).decode()]
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as caught:
        secrets_of(text)
    assert not text.strip() or text not in str(caught.value)
