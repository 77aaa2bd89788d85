"""How records look to clients."""

from typing import Any

import msgspec

from mlhub.api.gateway.answer import Answer
from mlhub.api.services.models import Entry
from mlhub.api.services.routes import Route
from mlhub.common.model import Version
from mlhub.common.view import bare, labels


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
