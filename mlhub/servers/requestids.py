"""For whom a model server works: the ids that come along with a call."""

import falcon.asgi

from mlhub.common import logs
from mlhub.common.logs import REQUEST_ID


class RequestIds:
    """Falcon's middleware that has the lines about a call name the requests that it is made for."""

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Note them; what comes from elsewhere is not believed to be fit for a line."""
        del resp
        REQUEST_ID.set(logs.arrived(req.get_header(logs.HEADER)))
