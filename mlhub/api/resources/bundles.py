"""`/model/{name}/upload` and `/upload`: bundles on their way in, with flat memory."""

import falcon.asgi

from mlhub.api.multipart import is_form
from mlhub.api.publication import Publication
from mlhub.api.services.uploads import Target


class UploadResource:
    """A version for an entry that is there: a raw body, or a form with the bundle in `file`."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Keep the bundle as a new version, and have it validated."""
        target = Target(model=name, version=req.get_param("version"))
        if is_form(req):
            await self._publication.from_form(req, resp, target)
        else:
            await self._publication.from_body(req, resp, target)


class FormUploadResource:
    """A form that says everything: the entry is made when it is not there."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Keep the bundle as a new version of the model that the field `model` names."""
        await self._publication.from_form(req, resp, None)
