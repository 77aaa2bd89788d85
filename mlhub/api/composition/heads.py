"""`HEAD` wherever `GET` reads something: RFC 9110 wants both of every server."""

from collections.abc import Mapping
from typing import Final

from mlhub.api.resources.bulk import BulkOutputResource
from mlhub.api.resources.exchange import ExportResource
from mlhub.api.resources.monitor import MonitorEventsResource
from mlhub.api.resources.predict import PredictResource
from mlhub.api.resources.predictions import EventsResource

_WITHOUT: Final = (
    PredictResource,
    EventsResource,
    MonitorEventsResource,
    ExportResource,
    BulkOutputResource,
)
"""What computes or streams its answer: to throw that away costs as much as to send it."""


def add_heads(resources: Mapping[str, object]) -> None:
    """Have resources answer `HEAD` as they do `GET`; Falcon and the server leave the body out.

    Args:
        resources: what answers, by the template of its address.
    """
    for resource in resources.values():
        answer = getattr(resource, "on_get", None)
        if answer is None or hasattr(resource, "on_head") or isinstance(resource, _WITHOUT):
            continue
        resource.on_head = answer  # type: ignore[attr-defined]
