"""The composition of a model server's process: everything is built here, passed on by constructors."""

from typing import Any, Final

import falcon.asgi

from mlhub.common import metrics, oipshared
from mlhub.common.tally import Tally
from mlhub.common.tracedapp import RouteNote, TracedApp
from mlhub.common.tracing import create_tracing
from mlhub.servers import errors
from mlhub.servers.folder import ModelFolder
from mlhub.servers.frameworks import create_runtime
from mlhub.servers.metrics import KIND, InferenceMeter, MetricsResource, TracedMeter, vitals
from mlhub.servers.options import ServerOptions
from mlhub.servers.requestids import RequestIds
from mlhub.servers.resources import (
    IndexResource,
    InferResource,
    LiveResource,
    LoadResource,
    ModelReadyResource,
    ModelResource,
    ReadyResource,
    ServerResource,
    UnloadResource,
)
from mlhub.servers.serving import Serving
from mlhub.servers.shared import SharedResource
from mlhub.servers.siblings import Siblings

_INFER: Final = "/infer"
"""Ends the addresses of what is traced."""


def create_app(options: ServerOptions) -> "falcon.asgi.App[Any, Any] | TracedApp":
    """Build the ASGI application of one process.

    Raises:
        UnacceptableError: the framework is unknown or not installed.
    """
    runtime = create_runtime(options.framework, options.runtime)
    serving = Serving(ModelFolder(options.repository), runtime, options.runtime)
    tally = Tally()
    tally.gauge(metrics.SERVER_MODELS, lambda: serving.loaded)
    platform = serving.platform
    siblings = Siblings(f"{KIND}.{platform}", options.shared, lambda: [*tally.read(), *vitals(platform)])
    tracing = create_tracing("mlhub-server")
    noted = [RouteNote()] if tracing else []
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(middleware=[*noted, RequestIds(), serving, siblings])
    errors.add_handlers(app)
    app.add_route("/v2", ServerResource())
    app.add_route("/v2/health/live", LiveResource())
    app.add_route("/v2/health/ready", ReadyResource(serving))
    app.add_route("/metrics", MetricsResource(siblings))
    meter = InferenceMeter(tally) if tracing is None else TracedMeter(tally, tracing)
    infer = InferResource(serving, meter, options.max_body_bytes)
    app.add_route(oipshared.PATH, SharedResource(serving, meter, options.max_body_bytes))
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        app.add_route(prefix, ModelResource(serving))
        app.add_route(f"{prefix}/ready", ModelReadyResource(serving))
        app.add_route(f"{prefix}{_INFER}", infer)
    app.add_route("/v2/repository/index", IndexResource(serving))
    app.add_route("/v2/repository/models/{model}/load", LoadResource(serving))
    app.add_route("/v2/repository/models/{model}/unload", UnloadResource(serving))
    return app if tracing is None else TracedApp(app, tracing, lambda path: path.endswith(_INFER))
