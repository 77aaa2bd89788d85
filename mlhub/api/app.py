"""The composition of an API process: everything is built here and passed on through constructors."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol

import falcon.asgi

from mlhub.api import problems
from mlhub.api.bodies import BodyWatch
from mlhub.api.express import Express
from mlhub.api.gateway.dead import DeadLetterQueue
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.gateway.purge import purge
from mlhub.api.lanegate import LaneGate
from mlhub.api.middleware import BearerToken, RequestId
from mlhub.api.operations.beat import Beat
from mlhub.api.operations.failures import Failures
from mlhub.api.operations.metering import Metering
from mlhub.api.operations.metrics import MetricsService
from mlhub.api.operations.monitor import MonitorService
from mlhub.api.operations.registry import Registry
from mlhub.api.operations.service import OperationsService, PurgeService
from mlhub.api.publication import Publication
from mlhub.api.resources import inference
from mlhub.api.resources.bulk import BulkAcceptance, BulkOutputResource
from mlhub.api.resources.bundles import FormUploadResource, UploadResource
from mlhub.api.resources.deadletters import DeadLettersResource, RetryResource
from mlhub.api.resources.downloads import DownloadResource
from mlhub.api.resources.exchange import ExportResource, ImportResource
from mlhub.api.resources.health import LiveResource, ReadyResource, StatusResource
from mlhub.api.resources.metrics import MetricsResource
from mlhub.api.resources.models import ModelResource, ModelsResource
from mlhub.api.resources.monitor import (
    MonitorEventsResource,
    MonitorResource,
    PageResource,
    read_pages,
)
from mlhub.api.resources.operations import (
    BackendsResource,
    MessagesResource,
    QueuesResource,
    WorkersResource,
)
from mlhub.api.resources.pages import CardResource, CitationResource
from mlhub.api.resources.pools import PoolsResource
from mlhub.api.resources.predict import PredictResource
from mlhub.api.resources.predictions import (
    CancelResource,
    EventsResource,
    PredictionResource,
    PredictionsResource,
)
from mlhub.api.resources.resumable import ResumableUploadResource, UploadsResource
from mlhub.api.resources.start import StartResource
from mlhub.api.resources.versions import VersionResource, VersionsResource
from mlhub.api.services.bulks import BulkService
from mlhub.api.services.deadletters import DeadLetterService
from mlhub.api.services.exchange import ExchangeService
from mlhub.api.services.health import HealthService
from mlhub.api.services.models import ModelService
from mlhub.api.services.pools import PoolService
from mlhub.api.services.predictions import PredictionService
from mlhub.api.services.resumable import ResumableService
from mlhub.api.services.routes import RouteCache, RouteService
from mlhub.api.services.uploads import UploadService
from mlhub.common.prediction import PredictionStatus
from mlhub.common.sampling import create_sampler
from mlhub.common.settings import Settings
from mlhub.common.tally import Tally
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bulkshelf import BulkShelf
from mlhub.storage.cards import CardStore
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import check, connect, version
from mlhub.storage.heldfiles import HeldFiles
from mlhub.storage.indexer import Indexer
from mlhub.storage.indexes import IndexKeeper
from mlhub.storage.lanes import LaneStore
from mlhub.storage.largetensors import LargeTensors
from mlhub.storage.models import ModelStore
from mlhub.storage.pools import PoolStore
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.stores import create_bundle_store
from mlhub.storage.uploads import UploadStore
from mlhub.storage.versions import VersionStore
from mlhub.storage.webhooks import WebhookStore
from mlhub.storage.work import WorkStore

_FAILED: Final = 10
"""Failed predictions that the monitor page shows."""
_THREADS: Final = 16
"""Calls of services at once; each waits for the database or a disk most of its time."""
_UPKEEP: Final = 2.0
"""Seconds between two looks at the search index."""
_SEGMENT: Final = 4096
"""Entries of its segments that an API process puts together at most; workers make larger ones."""


class Attendant(Protocol):
    """What an API process runs on its event loop besides its requests."""

    def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""


class Lifespan:
    """Starts what an API process runs besides its requests, and ends it."""

    def __init__(
        self, attendants: Sequence[Attendant], indexes: IndexKeeper, operations: OperationsService
    ) -> None:
        self._attendants = attendants
        self._indexes = indexes
        self._operations = operations

    async def process_startup(self, scope: Any, event: Any) -> None:
        """Begin to connect to the broker; the database is tried at its first use."""
        del scope, event
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "service"))
        for attendant in self._attendants:
            attendant.start()
        self._indexes.start()

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        """Close the connections."""
        del scope, event
        for attendant in reversed(self._attendants):
            await attendant.stop()
        await asyncio.to_thread(self._indexes.stop)
        await asyncio.to_thread(self._operations.close)


def create_app(settings: Settings) -> Express:
    """Build the ASGI application of one API process."""
    database = connect(settings.mongodb_url, settings.database)
    models = ModelStore(database)
    versions = VersionStore(database)
    predictions = PredictionStore(database, timedelta(seconds=settings.prediction_ttl))
    bundles = create_bundle_store(settings)
    copies = CopyStore(database)
    shelf = BundleShelf(bundles, copies, versions)
    cards = CardStore(database)
    catalogue = Catalogue(models, versions, shelf, cards)
    uploads = UploadStore(database, shelf)
    bulks = BulkStore(database)
    registry = Registry()
    tally = Tally()
    failures = Failures()
    metering = Metering(tally, failures)
    gateway = Gateway(settings, registry, tally)
    beat = Beat(tally, failures, gateway.beat)
    indexes = IndexKeeper(
        [
            store.create_indexes
            for store in (models, versions, predictions, WebhookStore(database), bulks, copies, uploads)
        ],
        Indexer(database, models, _SEGMENT).run,
        _UPKEEP,
    )

    model_service = ModelService(models, versions, catalogue, settings)
    prediction_service = PredictionService(
        predictions,
        LaneGate(LaneStore(database)),
        LargeTensors(
            HeldFiles(shelf, bundles), timedelta(seconds=settings.prediction_ttl), settings.max_inline_bytes
        ),
        settings.max_prediction_bytes,
    )
    upload_service = UploadService(models, versions, catalogue, shelf, model_service)
    bulk_service = BulkService(
        predictions,
        bulks,
        BulkShelf(bulks, shelf, bundles),
        timedelta(seconds=settings.prediction_ttl),
        settings.bulk_slots,
    )
    routes = RouteCache(RouteService(models, versions).find, settings.route_ttl)
    health = HealthService(
        gateway,
        lambda: check(database),
        bundles.check,
        lambda: version(database),
        tuple(settings.backends),
    )
    pools = PoolService(PoolStore(database), settings)
    operations = OperationsService(
        settings.backends,
        create_sampler(settings),
        registry,
        health.look,
        predictions.waiting_since,
        pools.show,
    )
    monitor = MonitorService(
        operations,
        registry,
        beat,
        lambda: predictions.page(None, PredictionStatus.FAILED, _FAILED, None).items,
        {} if settings.flower_url is None else {"Flower": settings.flower_url},
    )
    pages = read_pages()
    purging = PurgeService(operations, partial(purge, settings.broker_url), predictions.cancel_waiting)

    request_id = RequestId()
    token = None if settings.token is None else BearerToken(settings.token)
    middleware: list[Any] = [
        request_id,
        metering,
        *([token] if token else []),
        Lifespan((gateway, beat, monitor), indexes, operations),
    ]
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(middleware=middleware)
    problems.add_handlers(app)
    app.req_options.strip_url_path_trailing_slash = True

    resumable = ResumableService(
        uploads, shelf, bundles, versions, upload_service, settings.upload_ttl, settings.max_bundle_bytes
    )
    publication = Publication(upload_service, model_service, gateway, settings)
    bulk = BulkAcceptance(bulk_service, gateway, settings)
    predict = PredictResource(routes, gateway, prediction_service, bulk, settings)
    exchange = ExchangeService(model_service, upload_service, bundles)
    card = CardResource(model_service, cards)
    model = ModelResource(model_service, routes, gateway, publication, predict, settings.max_json_bytes)
    download = DownloadResource(model_service, bundles)
    backends, queues, workers = (
        kind(operations) for kind in (BackendsResource, QueuesResource, WorkersResource)
    )
    messages = MessagesResource(purging)
    dead = DeadLetterService(
        DeadLetterQueue(settings.broker_url), WorkStore(database, timedelta(seconds=settings.prediction_ttl))
    )
    _add(
        app.add_route,
        {
            "/models": ModelsResource(model_service),
            "/model/{name}": model,
            "/model/{name}/upload": UploadResource(publication),
            "/upload": FormUploadResource(publication),
            "/uploads": UploadsResource(resumable, settings.max_bundle_bytes),
            "/uploads/{identity}": ResumableUploadResource(resumable, publication),
            "/model/{name}/download": download,
            "/import": ImportResource(exchange, gateway, settings.max_import_bytes, settings.max_json_bytes),
            "/model/{name}/card": card,
            "/model/{name}/export": ExportResource(exchange),
            "/model/{name}/citation": CitationResource(model_service),
            "/model/{name}/versions/{version}/card": card,
            "/model/{name}/predict": predict,
            "/model/{name}/predict/image": predict,
            "/model/{name}/versions": VersionsResource(model_service),
            "/model/{name}/versions/{version}": VersionResource(model_service, routes, gateway),
            "/model/{name}/versions/{version}/download": download,
            "/model/{name}/versions/{version}/predict": predict,
            "/predict": predict,
            "/predict/image": predict,
            "/predictions": PredictionsResource(prediction_service),
            "/predictions/{identity}": PredictionResource(prediction_service, settings.max_wait),
            "/predictions/{identity}/output": BulkOutputResource(bulk_service),
            "/predictions/{identity}/events": EventsResource(prediction_service),
            "/predictions/{identity}/cancel": CancelResource(prediction_service),
            "/health/live": LiveResource(),
            "/health/ready": ReadyResource(health),
            "/status": StatusResource(health),
            "/backends/{backend}/workers": PoolsResource(pools, settings.max_json_bytes),
            "/backends": backends,
            "/backends/{backend}": backends,
            "/queues": queues,
            "/queues/{queue}": queues,
            "/queues/{queue}/messages": messages,
            "/queues/mlhub.dead/messages": DeadLettersResource(dead, messages),
            "/queues/mlhub.dead/messages/{identity}/retry": RetryResource(dead),
            "/queues/mlhub.dead/retry": RetryResource(dead),
            "/workers": workers,
            "/monitor": MonitorResource(pages),
            "/monitor/events": MonitorEventsResource(monitor),
            "/pages/{file}": PageResource(pages),
            "/metrics": MetricsResource(MetricsService(operations, registry, beat)),
            "/workers/{worker}": workers,
        },
    )
    app.add_route("/", StartResource())
    _add(app.add_route, _open_inference(model_service, routes, predict, health, settings))
    return Express(
        BodyWatch(app),
        routes,
        gateway,
        request_id,
        token,
        metering,
        settings.default_wait,
    )


def _open_inference(
    models: ModelService,
    routes: RouteCache,
    predict: PredictResource,
    health: HealthService,
    settings: Settings,
) -> dict[str, object]:
    """Build the addresses of the Open Inference Protocol."""
    metadata = inference.MetadataResource(models, routes)
    ready = inference.ModelReadyResource(routes)
    infer = inference.InferResource(routes, predict, settings)
    one = "/v2/models/{model}"
    version = f"{one}/versions/{{version}}"
    return {
        "/v2": inference.ServerResource(),
        "/v2/health/live": LiveResource(),
        "/v2/health/ready": ReadyResource(health),
        one: metadata,
        version: metadata,
        f"{one}/ready": ready,
        f"{version}/ready": ready,
        f"{one}/infer": infer,
        f"{version}/infer": infer,
        "/v2/repository/index": inference.IndexResource(models, settings.max_json_bytes),
    }


def _add(add_route: Callable[[str, object], None], routes: dict[str, object]) -> None:
    for template, resource in routes.items():
        add_route(template, resource)
