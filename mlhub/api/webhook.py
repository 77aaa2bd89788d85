"""The wish to be called when an asynchronous prediction has ended: `?webhook=` or `X-Webhook`."""

import falcon.asgi

from mlhub.common.addresses import destination
from mlhub.common.errors import UnacceptableError
from mlhub.common.settings import Settings
from mlhub.common.webhook import Webhook


class Webhooks:
    """Reads which webhook a request asks for, and refuses what would never be called."""

    def __init__(self, settings: Settings) -> None:
        self._reach = settings.webhook_reach
        self._signs = settings.webhook_secret is not None

    def asked(self, req: falcon.asgi.Request, *, later: bool) -> Webhook | None:
        """Return the webhook that a request asks for.

        Args:
            req: the request.
            later: whether what it orders is done later.

        Raises:
            UnacceptableError: it is none that this hub calls; the sentence says why.
        """
        url = req.get_param("webhook") or req.get_header("X-Webhook")
        if url is None:
            return None
        if not later:
            raise UnacceptableError(
                "A webhook is called for predictions that are made later: send 'Prefer: respond-async' too.",
                code="webhook_needs_async",
            )
        if not self._signs:
            raise UnacceptableError(
                "This hub has no secret to sign webhooks with, and sends none unsigned; its operator has to "
                "set MLHUB_WEBHOOK_SECRET.",
                code="webhooks_off",
            )
        return Webhook(url, destination(url, self._reach).host.lower())
