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
    files: tuple[str, ...] = ()
    """Media types that the same may come in instead."""
    status: int = 200
    others: Mapping[int, str] = {}
    """What it gives, as above, with other statuses that mean success."""
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
    "Predicted",
    files=(NPY,),
    others={202: "Prediction"},
    takes=_ROWS | _FILES,
    query=("version", "outputs", "webhook", "bulk"),
    headers=_WAITING,
)
_UNNAMED: Final = msgspec.structs.replace(_PREDICT, summary="Predict with the model that the body names")
_DOWNLOAD: Final = Call(
    "The very bytes that were uploaded",
    _BYTES,
    others={206: _BYTES},
    query=("version",),
    headers=("Range", "If-Range", "If-None-Match"),
)
_CARD: Final = Call(
    "The README of a version's bundle", "text/markdown", query=("version",), headers=("If-None-Match",)
)
_INFER: Final = Call(
    "Predict as the Open Inference Protocol has it",
    "Inference",
    files=(_BYTES,),
    others={202: "Prediction"},
    takes={JSON: "Tensors", _BYTES: "Bytes"},
    headers=("Inference-Header-Content-Length", *_WAITING),
)
_LIVE: Final = Call("Whether the API lives", "Live")
_READY: Final = Call("Whether predictions can be answered; 503 names what is missing", "Ready")
_METADATA: Final = Call(
    "What a model takes and gives, for clients of the Open Inference Protocol", "ModelMetadata"
)
_MODEL_READY: Final = Call("Whether a model can be asked", "ModelReady")
_UPLOAD: Final = Call(
    "Add a version",
    "Version",
    status=202,
    others={200: "Version", 201: "Version"},
    takes=_BUNDLE,
    query=("version",),
    headers=("Prefer", "Content-Digest"),
)

CALLS: Final[Mapping[str, Mapping[str, Call]]] = {
    "/": {"GET": Call("The hub itself, and its addresses", "Start")},
    "/openapi.json": {"GET": Call("This description", headers=("If-None-Match",))},
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
            "Created",
            status=201,
            others={200: "Predicted", 202: "Version"},
            takes={JSON: "NewModel", FORM: "EntryForm"},
            headers=("Prefer",),
        ),
        "PUT": Call("Change the fields given", "Model", takes={JSON: "ModelChange"}, headers=("If-Match",)),
        "DELETE": Call("Remove an entry with its versions", "", status=204),
    },
    "/model/{name}/upload": {"POST": _UPLOAD},
    "/model/{name}/download": {"GET": _DOWNLOAD},
    "/model/{name}/card": {"GET": _CARD},
    "/model/{name}/export": {"GET": Call("An entry with all its bundles, as one file", export.MEDIA_TYPE)},
    "/model/{name}/citation": {
        "GET": Call(
            "BibTeX, or CFF where `Accept` says so",
            "application/x-bibtex",
            files=("application/yaml",),
            headers=("If-None-Match",),
        )
    },
    "/model/{name}/predict": {"GET": _PREDICT, "POST": _PREDICT},
    "/model/{name}/predict/image": {"GET": _PREDICT, "POST": _PREDICT},
    "/model/{name}/versions": {"GET": Call("Versions, newest first", "Version", is_list=True)},
    "/model/{name}/versions/{version}": {
        "GET": Call("A version", "Version", headers=("If-None-Match",)),
        "DELETE": Call("Remove a version", "", status=204),
    },
    "/model/{name}/versions/{version}/download": {"GET": _DOWNLOAD},
    "/model/{name}/versions/{version}/card": {"GET": _CARD},
    "/model/{name}/versions/{version}/predict": {"GET": _PREDICT, "POST": _PREDICT},
    "/upload": {"POST": msgspec.structs.replace(_UPLOAD, summary="Add a version; makes the entry", query=())},
    "/uploads": {
        "POST": Call(
            "Begin a resumable upload (tus 1.0)",
            "ResumableUpload",
            status=201,
            headers=("Tus-Resumable", "Upload-Length", "Upload-Metadata"),
        )
    },
    "/uploads/{identity}": {
        "GET": Call("What became of an upload", "ResumableUpload", headers=("Tus-Resumable",)),
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
            takes={"application/offset+octet-stream": "Bytes"},
            headers=("X-HTTP-Method-Override", "Tus-Resumable", "Upload-Offset"),
        ),
        "DELETE": Call("Give an upload up", "", status=204, headers=("Tus-Resumable",)),
    },
    "/import": {
        "POST": Call(
            "Import an entry that was exported",
            "Model",
            status=201,
            others={200: "Model"},
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
    "/predictions/{identity}/output": {
        "GET": Call(
            "The outputs of a file of rows, as a file; which kind, `Accept` says",
            NPY,
            files=tuple(_FILES),
            others={206: NPY},
            headers=("Range", "If-Range", "If-None-Match"),
        )
    },
    "/predictions/{identity}/events": {
        "GET": Call(
            "Server-sent events until the end; 204 when the client has seen that",
            "text/event-stream",
            others={204: ""},
            headers=("Last-Event-ID",),
        )
    },
    "/predictions/{identity}/cancel": {"POST": Call("Cancel a prediction", "Prediction")},
    "/health/live": {"GET": _LIVE},
    "/health/ready": {"GET": _READY},
    "/status": {"GET": Call("All parts, well or not", "Status")},
    "/backends": {"GET": Call("Backends", "BackendState", is_list=True)},
    "/backends/{backend}": {"GET": Call("A backend", "BackendState")},
    "/backends/{backend}/workers": {
        "GET": Call("Sizes of a backend's pools", "PoolStates"),
        "PUT": Call("Bring pools to a size", "PoolStates", status=202, takes={JSON: "Pools"}),
    },
    "/queues": {"GET": Call("Queues", "QueueState", is_list=True)},
    "/queues/{queue}": {"GET": Call("A queue", "QueueState")},
    "/queues/{queue}/messages": {"DELETE": Call("Empty a queue", "Purged")},
    "/queues/mlhub.dead/messages": {
        "GET": Call("Work that was given up", "DeadLetter", is_list=True, query=("limit",)),
        "DELETE": Call("Drop all work that was given up", "Purged"),
    },
    "/queues/mlhub.dead/messages/{identity}/retry": {
        "POST": Call("Do work of one message once more", "Retried")
    },
    "/queues/mlhub.dead/retry": {"POST": Call("Do all work that was given up once more", "Retried")},
    "/workers": {"GET": Call("Worker processes that live", "WorkerState", is_list=True)},
    "/workers/{worker}": {"GET": Call("A worker process", "WorkerState")},
    "/metrics": {"GET": Call("For Prometheus", "text/plain")},
    "/v2": {"GET": Call("The server, for clients of the Open Inference Protocol", "ServerMetadata")},
    "/v2/health/live": {"GET": _LIVE},
    "/v2/health/ready": {"GET": _READY},
    "/v2/models/{model}": {"GET": _METADATA},
    "/v2/models/{model}/versions/{version}": {"GET": _METADATA},
    "/v2/models/{model}/ready": {"GET": _MODEL_READY},
    "/v2/models/{model}/versions/{version}/ready": {"GET": _MODEL_READY},
    "/v2/models/{model}/infer": {"POST": _INFER},
    "/v2/models/{model}/versions/{version}/infer": {"POST": _INFER},
    "/v2/repository/index": {
        "POST": Call("All models", "IndexEntry", is_list=True, takes={JSON: "IndexRequest"})
    },
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
