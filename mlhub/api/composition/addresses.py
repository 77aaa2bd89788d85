"""The addresses that an API process answers at, each with what answers there."""

from mlhub.api.composition.heads import add_heads
from mlhub.api.composition.services import Services
from mlhub.api.composition.stores import Stores
from mlhub.api.resources import inference
from mlhub.api.resources.bulk import BulkAcceptance, BulkOutputResource
from mlhub.api.resources.bundles import FormUploadResource, UploadResource
from mlhub.api.resources.deadletters import DeadLettersResource, RetryResource
from mlhub.api.resources.downloads import DownloadResource
from mlhub.api.resources.exchange import ExportResource, ImportResource
from mlhub.api.resources.health import LiveResource, ReadyResource, StatusResource
from mlhub.api.resources.metrics import MetricsResource
from mlhub.api.resources.models import ModelResource, ModelsResource
from mlhub.api.resources.monitor import MonitorEventsResource, PageResource, WholePageResource, read_pages
from mlhub.api.resources.openapi import OpenApiResource
from mlhub.api.resources.operations import BackendsResource, MessagesResource, QueuesResource, WorkersResource
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
from mlhub.common import topology
from mlhub.common.settings import Settings


def addresses(stores: Stores, services: Services, settings: Settings) -> dict[str, object]:
    """Build what answers, by the template of its address."""
    bulk = BulkAcceptance(services.bulks, services.gateway, settings)
    # One for all its addresses: it keeps predictions together that come at the same time.
    predict = PredictResource(services.routes, services.gateway, services.predictions, bulk, settings)
    found = {
        "/": StartResource(),
        **_models(stores, services, settings, predict),
        **_predictions(services, settings, predict),
        **_operations(services, settings),
        **_open_inference(services, settings, predict),
    }
    found["/openapi.json"] = description = OpenApiResource()
    description.describe(found, has_token=settings.token is not None)
    add_heads(found)
    return found


def _models(
    stores: Stores, services: Services, settings: Settings, predict: PredictResource
) -> dict[str, object]:
    models, gateway = services.models, services.gateway
    publication, resumable = services.publication, services.resumable
    card = CardResource(models, stores.cards)
    download = DownloadResource(models, stores.bundles)
    one = "/model/{name}"
    version = f"{one}/versions/{{version}}"
    return {
        "/models": ModelsResource(models),
        one: ModelResource(models, services.routes, gateway, publication, predict, settings.max_json_bytes),
        f"{one}/upload": UploadResource(publication),
        f"{one}/download": download,
        f"{one}/card": card,
        f"{one}/export": ExportResource(services.exchange),
        f"{one}/citation": CitationResource(models),
        f"{one}/predict": predict,
        f"{one}/predict/image": predict,
        f"{one}/versions": VersionsResource(models),
        version: VersionResource(models, services.routes, gateway),
        f"{version}/download": download,
        f"{version}/card": card,
        f"{version}/predict": predict,
        "/upload": FormUploadResource(publication),
        "/uploads": UploadsResource(resumable, settings.max_bundle_bytes),
        "/uploads/{identity}": ResumableUploadResource(resumable, publication),
        "/import": ImportResource(
            services.exchange, gateway, settings.max_import_bytes, settings.max_json_bytes
        ),
    }


def _predictions(services: Services, settings: Settings, predict: PredictResource) -> dict[str, object]:
    predictions = services.predictions
    one = "/predictions/{identity}"
    return {
        "/predict": predict,
        "/predict/image": predict,
        "/predictions": PredictionsResource(predictions),
        one: PredictionResource(predictions, settings.max_wait),
        f"{one}/output": BulkOutputResource(services.bulks),
        f"{one}/events": EventsResource(predictions),
        f"{one}/cancel": CancelResource(predictions),
    }


def _operations(services: Services, settings: Settings) -> dict[str, object]:
    backends, queues, workers = (
        kind(services.operations) for kind in (BackendsResource, QueuesResource, WorkersResource)
    )
    messages = MessagesResource(services.purging)
    retry = RetryResource(services.dead_letters)
    pages = read_pages()
    dead = f"/queues/{topology.DEAD.name}"
    return {
        "/health/live": LiveResource(),
        "/health/ready": ReadyResource(services.health),
        "/status": StatusResource(services.health),
        "/backends": backends,
        "/backends/{backend}": backends,
        "/backends/{backend}/workers": PoolsResource(services.pools, settings.max_json_bytes),
        "/queues": queues,
        "/queues/{queue}": queues,
        "/queues/{queue}/messages": messages,
        f"{dead}/messages": DeadLettersResource(services.dead_letters, messages),
        f"{dead}/messages/{{identity}}/retry": retry,
        f"{dead}/retry": retry,
        "/workers": workers,
        "/workers/{worker}": workers,
        "/metrics": MetricsResource(services.metrics),
        "/monitor": WholePageResource(pages, "monitor.html"),
        "/docs": WholePageResource(pages, "docs.html"),
        "/monitor/events": MonitorEventsResource(services.monitor),
        "/pages/{file}": PageResource(pages),
    }


def _open_inference(services: Services, settings: Settings, predict: PredictResource) -> dict[str, object]:
    """Build the addresses of the Open Inference Protocol."""
    metadata = inference.MetadataResource(services.models, services.routes)
    ready = inference.ModelReadyResource(services.routes)
    infer = inference.InferResource(services.routes, predict, settings)
    one = "/v2/models/{model}"
    version = f"{one}/versions/{{version}}"
    return {
        "/v2": inference.ServerResource(),
        "/v2/health/live": LiveResource(),
        "/v2/health/ready": ReadyResource(services.health),
        one: metadata,
        version: metadata,
        f"{one}/ready": ready,
        f"{version}/ready": ready,
        f"{one}/infer": infer,
        f"{version}/infer": infer,
        "/v2/repository/index": inference.IndexResource(services.models, settings.max_json_bytes),
    }
