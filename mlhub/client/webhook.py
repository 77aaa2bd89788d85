"""What a receiver of webhooks does with a message."""

import time
from collections.abc import Mapping

import msgspec

from mlhub.client.errors import HubError
from mlhub.client.records import Prediction
from mlhub.common.errors import UnauthenticatedError
from mlhub.common.webhook import verify


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes) -> Prediction:
    """Return the prediction that a webhook brought, if the hub sent it in the last five minutes.

    Args:
        secret: the hub's `MLHUB_WEBHOOK_SECRET`.
        headers: of the request, names in any case.
        body: of the request, as it came.

    Raises:
        HubError: somebody else sent it, or it was sent before (`bad_webhook`).
        ValueError: the secret is none.
    """
    try:
        verify(secret, headers, body, time.time())
        return msgspec.json.decode(body, type=Prediction)
    except UnauthenticatedError as error:
        raise HubError(error.detail, code="bad_webhook") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HubError(f"The message holds no prediction: {error}.", code="bad_webhook") from None
