"""`/`: where a client that knows only the hub's name begins."""

from typing import Final

import falcon.asgi

import mlhub
from mlhub.api.responses import send

_ADDRESSES: Final = {
    "GET /models": "the models; q, type, discipline, owner, tag, state, reference, sort, limit, cursor",
    "POST /model/{name}": "create an entry, with its first bundle where it is a form",
    "GET|PUT|DELETE /model/{name}": "show, change or remove an entry",
    "POST /model/{name}/upload": "add a version: a tar, tar.gz or zip",
    "GET /model/{name}/versions": "its versions, and what is wrong with those that failed",
    "GET /model/{name}/download": "the bundle of a version",
    "POST /model/{name}/predict": "predict; with 'Prefer: respond-async' later",
    "GET /predictions": "asynchronous predictions; model, status, limit, cursor",
    "GET /predictions/{id}": "one of them; with 'Prefer: wait=N' when it has ended",
    "GET /v2": "the Open Inference Protocol",
    "GET /status": "how the hub is",
    "GET /monitor": "the same as a page, for operators",
    "GET /backends": "the backends, with their pools",
    "GET /queues": "the queues",
    "GET /workers": "the workers",
    "GET /metrics": "for Prometheus",
    "GET /health/ready": "whether it is ready",
    "GET /openapi.json": "all calls, for programs",
    "GET /docs": "the same as a page, to try them",
}


class StartResource:
    """The hub itself."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Tell what this is, and which addresses it has."""
        del req
        send(resp, {"name": "mlhub", "version": mlhub.__version__, "addresses": _ADDRESSES})
