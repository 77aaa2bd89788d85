"""Webhooks: their record, and their signatures as Standard Webhooks has them.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from mlhub.common.errors import UnauthenticatedError

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

_PREFIX: Final = "whsec_"
_VERSION: Final = "v1,"
_SHORTEST: Final = 24
_LONGEST: Final = 64
"""Bytes that a secret may have."""
_NO_SECRET: Final = (
    f"a secret is the base64 of {_SHORTEST} to {_LONGEST} random bytes; make one with "
    "'openssl rand -base64 32'"
)
_TOLERANCE: Final = 300.0
"""Seconds by which the clocks of hub and receiver may differ."""


class Delivery(msgspec.Struct, frozen=True):
    """One call of a webhook."""

    at: datetime
    """When it began, UTC."""
    status: int | None
    """What the receiver answered; nothing when it did not."""
    error: str | None
    """Why it counts as failed."""
    duration: float
    """Seconds it took."""


class Webhook(msgspec.Struct, frozen=True):
    """Whom to call when a prediction has ended."""

    url: str
    host: str
    """The host in it, by which calls are shared out."""
    attempts: int = 0
    """How often a call was begun."""
    deliveries: tuple[Delivery, ...] = ()
    """Calls so far, oldest first."""


def secrets_of(text: str) -> tuple[bytes, ...]:
    """Return the secrets in a setting: base64, with or without `whsec_`, the newest first, between spaces.

    Raises:
        ValueError: there is none, or one is not what a secret should be; the sentence does not repeat it.
    """
    secrets = tuple(map(_secret, text.split()))
    if not secrets:
        raise ValueError(_NO_SECRET)
    return secrets


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        secret = b""
    if not _SHORTEST <= len(secret) <= _LONGEST:
        raise ValueError(_NO_SECRET)
    return secret


def sign(secrets: Sequence[bytes], identity: str, timestamp: int, body: bytes) -> str:
    """Return the value of the signature header: one signature for each secret.

    Args:
        secrets: those that receivers may know.
        identity: of the message, the same at each attempt to deliver it.
        timestamp: seconds since 1970 at this attempt.
        body: what is sent.
    """
    content = f"{identity}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, content, hashlib.sha256)) for secret in secrets]
    return " ".join(_VERSION + signature.decode() for signature in signatures)


def verify(secret: str, headers: Mapping[str, str], body: bytes, time: float) -> None:
    """Let a message pass that was signed with a secret, and not long ago.

    Args:
        secret: the hub's.
        headers: of the request, whatever the case of their names.
        body: of the request, as it came.
        time: seconds since 1970, now.

    Raises:
        UnauthenticatedError: it was not, or it is too old.
        ValueError: the secret is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = given.get(TIMESTAMP, "")
    if not timestamp.isascii() or not timestamp.isdigit() or abs(time - int(timestamp[:12])) > _TOLERANCE:
        raise UnauthenticatedError("The message has no timestamp of the last minutes.")
    signed = sign(secrets_of(secret), given.get(ID, ""), int(timestamp[:12]), body).split()
    offered = given.get(SIGNATURE, "").encode("utf-8", "replace").split()
    if not any(hmac.compare_digest(one.encode(), other) for one in signed for other in offered):
        raise UnauthenticatedError("The message was not signed with this secret.")
