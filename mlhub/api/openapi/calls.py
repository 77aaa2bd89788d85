"""What each call does, takes and gives: the part of the description that only people know."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mlhub.common import export
from mlhub.common.npy import TYPE as NPY

JSON: Final = "application/json"
FORM: Final = "multipart/form-data"
_BYTES: Final = "application/octet-stream"


class Call(msgspec.Struct, frozen=True):
    """One method at one address."""

    summary: str
    gives: str = "Anything"
    """Schema of what it answers; empty where there is no body, a media type where it is no JSON."""
    is_list: bool = False
    status: int = 200
    takes: Mapping[str, str] = {}
    """Schemas of bodies that it takes, by media type."""
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


_ROWS: Final = {JSON: "Rows", FORM: "Anything", NPY: "Bytes", "image/png": "Bytes", "image/jpeg": "Bytes"}
_FILES: Final = {"text/csv": "Bytes", "application/x-ndjson": "Bytes"}
_BUNDLE: Final = {_BYTES: "Bytes", "application/gzip": "Bytes", "application/zip": "Bytes", FORM: "Upload"}
_WAITING: Final = ("Prefer", "Idempotency-Key", "X-Webhook")
_PAGES: Final = ("limit", "cursor")

_PREDICT: Final = Call(
    "Predict, now or with `Prefer: respond-async` later",
    "Answer",
    takes=_ROWS | _FILES,
    query=("version", "outputs", "webhook", "bulk"),
    headers=_WAITING,
)
_UNNAMED: Final = msgspec.structs.replace(_PREDICT, summary="Predict with the model that the body names")
_DOWNLOAD: Final = Call(
    "The very bytes that were uploaded", _BYTES, query=("version",), headers=("Range", "If-None-Match")
)
_CARD: Final = Call("The README of a version's bundle", "text/markdown", query=("version",))
_INFER: Final = Call(
    "Predict as the Open Inference Protocol has it",
    "Inferred",
    takes={JSON: "Tensors", _BYTES: "Bytes"},
    headers=("Prefer",),
)
_LIVE: Final = Call("Whether the API lives")
_READY: Final = Call("Whether predictions can be answered; 503 names what is missing")
_METADATA: Final = Call("What a model takes and gives, for clients of the Open Inference Protocol")
_MODEL_READY: Final = Call("Whether a model can be asked")
_UPLOAD: Final = Call(
    "Add a version",
    "Version",
    status=202,
    takes=_BUNDLE,
    query=("version",),
    headers=("Prefer", "Content-Digest"),
)

CALLS: Final[Mapping[str, Mapping[str, Call]]] = {
    "/": {"GET": Call("The hub itself, and its addresses")},
    "/openapi.json": {"GET": Call("This description")},
    "/models": {
        "GET": Call(
            "List entries",
            "Model",
            is_list=True,
            query=("q", "type", "discipline", "owner", "tag", "state", "reference", "sort", *_PAGES),
        )
    },
    "/model/{name}": {
        "GET": Call("An entry with its versions, newest first", "Model", headers=("If-None-Match",)),
        "POST": Call(
            "Create an entry; of a form, with its first version, or a prediction",
            "Model",
            status=201,
            takes={JSON: "NewModel", FORM: "Upload"},
        ),
        "PUT": Call("Change the fields given", "Model", takes={JSON: "ModelChange"}, headers=("If-Match",)),
        "DELETE": Call("Remove an entry with its versions", "", status=204),
    },
    "/model/{name}/upload": {"POST": _UPLOAD},
    "/model/{name}/download": {"GET": _DOWNLOAD},
    "/model/{name}/card": {"GET": _CARD},
    "/model/{name}/export": {"GET": Call("An entry with all its bundles, as one file", export.MEDIA_TYPE)},
    "/model/{name}/citation": {"GET": Call("BibTeX, or CFF where `Accept` says so", "application/x-bibtex")},
    "/model/{name}/predict": {"GET": _PREDICT, "POST": _PREDICT},
    "/model/{name}/predict/image": {"GET": _PREDICT, "POST": _PREDICT},
    "/model/{name}/versions": {"GET": Call("Versions, newest first", "Version", is_list=True)},
    "/model/{name}/versions/{version}": {
        "GET": Call("A version", "Version"),
        "DELETE": Call("Remove a version", "", status=204),
    },
    "/model/{name}/versions/{version}/download": {"GET": _DOWNLOAD},
    "/model/{name}/versions/{version}/card": {"GET": _CARD},
    "/model/{name}/versions/{version}/predict": {"GET": _PREDICT, "POST": _PREDICT},
    "/upload": {"POST": msgspec.structs.replace(_UPLOAD, summary="Add a version; makes the entry", query=())},
    "/uploads": {
        "POST": Call(
            "Begin a resumable upload (tus 1.0)",
            "",
            status=201,
            headers=("Tus-Resumable", "Upload-Length", "Upload-Metadata"),
        )
    },
    "/uploads/{identity}": {
        "GET": Call("What became of an upload"),
        "HEAD": Call("Where an upload stands", "", headers=("Tus-Resumable",)),
        "PATCH": Call(
            "Send the next piece",
            "",
            status=204,
            takes={"application/offset+octet-stream": "Bytes"},
            headers=("Tus-Resumable", "Upload-Offset"),
        ),
        "POST": Call(
            "Send the next piece, or give it up, where only POST gets through",
            "",
            status=204,
            headers=("X-HTTP-Method-Override", "Tus-Resumable", "Upload-Offset"),
        ),
        "DELETE": Call("Give an upload up", "", status=204, headers=("Tus-Resumable",)),
    },
    "/import": {
        "POST": Call(
            "Import an entry that was exported",
            "Model",
            status=201,
            takes={export.MEDIA_TYPE: "Bytes", FORM: "Anything"},
            query=("name",),
        )
    },
    "/predict": {"GET": _UNNAMED, "POST": _UNNAMED},
    "/predict/image": {"GET": _UNNAMED, "POST": _UNNAMED},
    "/predictions": {
        "GET": Call(
            "Asynchronous predictions", "Prediction", is_list=True, query=("model", "status", *_PAGES)
        )
    },
    "/predictions/{identity}": {
        "GET": Call(
            "A prediction; with `Prefer: wait=N` when it has ended", "Prediction", headers=("Prefer",)
        )
    },
    "/predictions/{identity}/output": {"GET": Call("The outputs of a file of rows, as a file", _BYTES)},
    "/predictions/{identity}/events": {
        "GET": Call("Server-sent events until the end", "text/event-stream", headers=("Last-Event-ID",))
    },
    "/predictions/{identity}/cancel": {"POST": Call("Cancel a prediction", "Prediction")},
    "/health/live": {"GET": _LIVE},
    "/health/ready": {"GET": _READY},
    "/status": {"GET": Call("All parts, well or not")},
    "/backends": {"GET": Call("Backends", is_list=True)},
    "/backends/{backend}": {"GET": Call("A backend")},
    "/backends/{backend}/workers": {
        "GET": Call("Sizes of a backend's pools"),
        "PUT": Call("Bring pools to a size", status=202, takes={JSON: "Pools"}),
    },
    "/queues": {"GET": Call("Queues", is_list=True)},
    "/queues/{queue}": {"GET": Call("A queue")},
    "/queues/{queue}/messages": {"DELETE": Call("Empty a queue")},
    "/queues/mlhub.dead/messages": {
        "GET": Call("Work that was given up"),
        "DELETE": Call("Drop all work that was given up"),
    },
    "/queues/mlhub.dead/messages/{identity}/retry": {"POST": Call("Do work of one message once more")},
    "/queues/mlhub.dead/retry": {"POST": Call("Do all work that was given up once more")},
    "/workers": {"GET": Call("Worker processes that live", is_list=True)},
    "/workers/{worker}": {"GET": Call("A worker process")},
    "/metrics": {"GET": Call("For Prometheus", "text/plain")},
    "/v2": {"GET": Call("The server, for clients of the Open Inference Protocol")},
    "/v2/health/live": {"GET": _LIVE},
    "/v2/health/ready": {"GET": _READY},
    "/v2/models/{model}": {"GET": _METADATA},
    "/v2/models/{model}/versions/{version}": {"GET": _METADATA},
    "/v2/models/{model}/ready": {"GET": _MODEL_READY},
    "/v2/models/{model}/versions/{version}/ready": {"GET": _MODEL_READY},
    "/v2/models/{model}/infer": {"POST": _INFER},
    "/v2/models/{model}/versions/{version}/infer": {"POST": _INFER},
    "/v2/repository/index": {"POST": Call("All models", is_list=True, takes={JSON: "Anything"})},
}
"""By address and method. Pages for people are not among them."""

QUERY: Final[Mapping[str, Mapping[str, Any]]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "state": {"enum": ["empty", "validating", "ready", "failed"]},
    "sort": {"enum": ["name", "-name", "updated_at", "-updated_at"]},
    "bulk": {"type": "boolean"},
    "q": {"type": "string", "maxLength": 500},
}
"""Schemas of parameters that are no plain text."""
