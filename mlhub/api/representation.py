"""How records look to clients."""

from typing import Any

import msgspec

from mlhub.api.gateway.group import Answer
from mlhub.api.services.models import Entry
from mlhub.api.services.routes import Route
from mlhub.common import oip, tensor
from mlhub.common.model import Version
from mlhub.common.prediction import ENDED, Prediction, PredictionStatus
from mlhub.common.tensor import Array


def entry(item: Entry) -> dict[str, Any]:
    """Show a model with its versions."""
    model = item.model
    return {
        "model": model.model,
        "type": model.type,
        "backend": model.backend,
        "version": model.version,
        "state": model.state,
        "meta": model.meta,
        "description": model.description,
        "reference": model.reference,
        "discipline": model.discipline,
        "tags": model.tags,
        "visibility": model.visibility,
        "owner": model.owner,
        "input_example": model.input_example,
        "created_at": model.created_at,
        "updated_at": model.updated_at,
        "card": _card(model.model, item),
        "citation": f"/model/{model.model}/citation",
        "versions": [version(one) for one in item.versions],
    }


def _card(name: str, item: Entry) -> str | None:
    """Return where the card of the latest version is, if it has one."""
    latest = next((one for one in item.versions if one.version == item.model.version), None)
    return f"/model/{name}/card" if latest is not None and latest.card else None


def version(item: Version) -> dict[str, Any]:
    """Show one version."""
    return {
        "version": item.version,
        "state": item.state,
        "error": item.error,
        "signature": item.signature,
        "labels": item.labels,
        "bundle": {
            "sha256": item.bundle.sha256,
            "size": item.bundle.size,
            "filename": item.bundle.filename,
        },
        "steps": item.steps,
        "example_output": None if item.example_output is None else msgspec.Raw(item.example_output.encode()),
        "image": item.image,
        "created_at": item.created_at,
        "ready_at": item.ready_at,
    }


def prediction(item: Prediction) -> dict[str, Any]:
    """Show an asynchronous prediction."""
    outputs = {output.name: tensor.decode(output) for output in item.result}
    shown = None
    if item.status is PredictionStatus.SUCCEEDED:
        shown = oip_outputs(item.result) if item.protocol == "oip" else plain(outputs, single=item.single)
    address = f"/predictions/{item.id}"
    body = {
        "id": item.id,
        "model": item.model,
        "version": item.version,
        "backend": item.backend,
        "status": item.status,
        "output": shown,
        "error": item.error,
        "created_at": item.created_at,
        "started_at": item.started_at,
        "completed_at": item.completed_at,
        "metrics": {"queue_time": _queue_time(item), "predict_time": item.predict_time},
        "urls": {"get": address, "cancel": f"{address}/cancel", "events": f"{address}/events"},
    }
    named = labels(outputs, item.labels, single=item.single)
    return body if named is None else body | {"labels": named}


def answer(route: Route, given: Answer, *, single: bool) -> dict[str, Any]:
    """Show the answer to a synchronous prediction."""
    body: dict[str, Any] = {
        "model": route.model,
        "version": route.version,
        "output": bare(given.values, single=single),
    }
    if route.labels:
        named = labels(given.outputs, route.labels, single=single)
        if named is not None:
            body["labels"] = named
    return body


def plain(outputs: dict[str, Array], *, single: bool) -> Any:
    """Show outputs as bare values: the only one by itself, several by name; one row without its list."""
    return bare({name: tensor.to_list(array) for name, array in outputs.items()}, single=single)


def bare(values: dict[str, Any], *, single: bool) -> Any:
    """Do the same with what are Python's values already."""
    if single:
        values = {name: value[0] for name, value in values.items()}
    return next(iter(values.values())) if len(values) == 1 else values


def labels(outputs: dict[str, Array], names: tuple[str, ...], *, single: bool) -> Any:
    """Name the classes in the first output, where the version's bundle names them.

    A class index becomes its name; for scores of each class, the names are given in their order.
    """
    if not names or not outputs:
        return None
    array = next(iter(outputs.values()))
    if array.ndim == 1 and array.dtype.kind in "iu":
        chosen = [names[index] if 0 <= index < len(names) else None for index in array.tolist()]
        return chosen[0] if single else chosen
    return list(names) if array.ndim > 1 and array.shape[-1] == len(names) else None


def oip_outputs(outputs: tuple[tensor.Tensor, ...]) -> list[Any]:
    """Show outputs in the form of the Open Inference Protocol."""
    body, _ = oip.encode_response("", None, outputs)
    shown: list[Any] = msgspec.json.decode(body)["outputs"]
    return shown


def _queue_time(item: Prediction) -> float | None:
    if item.started_at is None:
        return None
    return (item.started_at - item.created_at).total_seconds()


def ended(item: Prediction) -> bool:
    """Tell whether a prediction changes no more."""
    return item.status in ENDED
