"""`/openapi.json`: the description of all calls."""

from collections.abc import Mapping

import falcon.asgi
import msgspec

from mlhub.api.openapi.document import document
from mlhub.api.responses import Encoded, send_encoded


class OpenApiResource:
    """The description, which stays as it is while the hub runs."""

    def __init__(self) -> None:
        self._document = Encoded.of(b"{}")

    def describe(self, resources: Mapping[str, object], *, has_token: bool) -> None:
        """Make the description of what answers, by the template of its address; itself among it."""
        self._document = Encoded.of(msgspec.json.encode(document(resources, has_token=has_token)))

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Send it."""
        send_encoded(req, resp, self._document)
