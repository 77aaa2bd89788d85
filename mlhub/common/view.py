"""How predictions look to those who asked for them: in answers, and in what webhooks bring."""

from typing import Any

import msgspec

from mlhub.common import oip, tensor
from mlhub.common.prediction import ENDED, Prediction, PredictionStatus
from mlhub.common.tensor import Array


def prediction(item: Prediction) -> dict[str, Any]:
    """Show an asynchronous prediction."""
    outputs = {output.name: tensor.decode(output) for output in item.result}
    shown = None
    if item.status is PredictionStatus.SUCCEEDED and item.bulk is None and not _is_omitted(item):
        shown = oip_outputs(item.result) if item.protocol == "oip" else plain(outputs, single=item.single)
    address = f"/predictions/{item.id}"
    body: dict[str, Any] = {
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
    if _is_omitted(item):
        # In lists; the prediction's own address has it.
        body["output_omitted"] = True
    if item.webhook is not None:
        body["webhook"] = {"url": item.webhook.url, "deliveries": item.webhook.deliveries}
    if item.bulk is not None:
        body["progress"] = {"done": item.bulk.done, "total": item.bulk.total}
        body["urls"]["output"] = f"{address}/output"
        return body
    named = labels(outputs, item.labels, single=item.single)
    return body if named is None else body | {"labels": named}


def _is_omitted(item: Prediction) -> bool:
    return item.apart and not item.result


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
