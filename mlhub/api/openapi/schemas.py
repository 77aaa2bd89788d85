"""What bodies and answers are made of, as JSON Schema (2020-12)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mlhub.common.deadletter import DeadLetter, Retried
from mlhub.common.model import ModelState, ModelType, VersionState, Visibility
from mlhub.common.oipserver import IndexEntry, IndexRequest, ModelMetadata, ServerMetadata
from mlhub.common.operations import BackendState, Purged, WorkerState
from mlhub.common.pool import PoolKind
from mlhub.common.prediction import PredictionStatus

Schema = Mapping[str, Any]

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NUMBER: Final = {"type": ["number", "null"]}
_TIME: Final = {"type": "string", "format": "date-time"}
_ANYTHING: Final[Schema] = {}
_OBJECT: Final = {"type": "object"}
_NAME: Final = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}


def ref(name: str) -> Schema:
    """Return a reference to one of the schemas below."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(item: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": item}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _record(*required: str, **fields: Schema) -> Schema:
    """Return the schema of an object; newer hubs may add fields to it."""
    return {"type": "object", "properties": fields, "required": list(required)}


_FIELDS: Final = {
    "model": _NAME,
    "meta": _OBJECT,
    "meta_data": _OBJECT,
    "description": _TEXT,
    "reference": _TEXT,
    "discipline": _TEXT,
    "tags": many(_TEXT),
    "backend": _TEXT,
    "visibility": {"enum": list(Visibility)},
    "input_example": _ANYTHING,
}
_TYPE: Final = {"type": "string", "description": f"One of {', '.join(ModelType)}, in any case."}
_TENSOR_FIELDS: Final = {"name": _TEXT, "datatype": _TEXT, "shape": many({"type": "integer"})}
_TENSOR: Final = _record("name", "datatype", "shape", **_TENSOR_FIELDS)
_INPUT: Final = _record(
    "name",
    "datatype",
    "shape",
    **_TENSOR_FIELDS,
    allow_missing={
        "type": "boolean",
        "description": "Whether `null`, or NaN in binary data, may stand for values that are missing.",
    },
)

_FILE: Final = {"type": "string", "format": "binary"}
_UPLOAD: Final[Schema] = {
    "type": "object",
    "properties": {
        **_FIELDS,
        "type": _TYPE,
        "version": _NAME,
        "metadata": {**_TEXT, "description": "An object with any of these, as JSON."},
        "file": _FILE,
        "bundle": _FILE,
    },
}
_PART: Final = _record(
    "name",
    "healthy",
    name=_TEXT,
    healthy={"type": "boolean"},
    detail={**_TEXT, "description": "What is wrong."},
)
# These are records as they stand; they say of themselves what they are.
_, _RECORDS = msgspec.json.schema_components(
    (
        BackendState,
        WorkerState,
        Purged,
        DeadLetter,
        Retried,
        ServerMetadata,
        ModelMetadata,
        IndexRequest,
        IndexEntry,
    ),
    ref_template="#/components/schemas/{name}",
)

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Problem": _record(
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        detail={**_TEXT, "description": "One sentence: what is wrong, and what to do."},
        instance=_TEXT,
        code={**_TEXT, "description": "For programs; stays the same."},
        errors=many(_record("pointer", "detail", pointer=_TEXT, detail=_TEXT)),
        error={**_TEXT, "description": "The detail once more, for the Open Inference Protocol."},
    ),
    "NewModel": {
        "type": "object",
        "properties": {**_FIELDS, "type": _TYPE, "version": _NAME},
        "required": ["type"],
        "additionalProperties": False,
    },
    "ModelChange": {
        "type": "object",
        "properties": {**_FIELDS, "type": _TYPE, "version": _maybe(_NAME)},
        "additionalProperties": False,
    },
    "Model": _record(
        "model",
        "type",
        "state",
        "version",
        "versions",
        **{**_FIELDS, "backend": _maybe(_TEXT)},
        type={"enum": list(ModelType)},
        version=_maybe(_TEXT),
        state={"enum": list(ModelState)},
        owner=_maybe(_TEXT),
        created_at=_TIME,
        updated_at=_TIME,
        card=_maybe(_TEXT),
        citation=_TEXT,
        versions=many(ref("Version")),
    ),
    "Created": {"anyOf": [ref("Model"), ref("Version")], "description": "A version, of a form's bundle."},
    "Version": _record(
        "version",
        "state",
        model=_NAME,
        version=_TEXT,
        state={"enum": list(VersionState)},
        error=_maybe(_TEXT),
        signature=_maybe(ref("Signature")),
        labels=many(_TEXT),
        bundle=_record("sha256", "size", "filename", sha256=_TEXT, size=_COUNT, filename=_TEXT),
        steps=many(_record("name", "state", name=_TEXT, state=_TEXT, seconds=_NUMBER)),
        example_output=_ANYTHING,
        image=_maybe(_OBJECT),
        created_at=_TIME,
        ready_at=_maybe(_TIME),
    ),
    "Signature": _record("inputs", inputs=many(_INPUT), outputs=many(_TENSOR)),
    "Rows": {
        "type": "object",
        "description": "`input` has one row or a list of rows; `inputs` has the same by name of the input, "
        "or tensors of the Open Inference Protocol; `keys` and `values` are a row of TFaaS.",
        "properties": {
            "input": _ANYTHING,
            "inputs": {"type": ["object", "array"]},
            "keys": many(_TEXT),
            "values": {"type": "array"},
            "outputs": many(_TEXT),
            "model": _NAME,
            "version": _TEXT,
        },
        "anyOf": [{"required": [name]} for name in ("input", "inputs", "values")],
    },
    "Answer": _record(
        "model", "version", "output", model=_TEXT, version=_TEXT, output=_ANYTHING, labels=_ANYTHING
    ),
    "Prediction": _record(
        "id",
        "model",
        "version",
        "status",
        "urls",
        id=_TEXT,
        model=_TEXT,
        version=_TEXT,
        backend=_TEXT,
        status={"enum": list(PredictionStatus)},
        output=_ANYTHING,
        output_omitted={"type": "boolean"},
        error=_maybe(_TEXT),
        created_at=_TIME,
        started_at=_maybe(_TIME),
        completed_at=_maybe(_TIME),
        labels=_ANYTHING,
        metrics=_record("queue_time", "predict_time", queue_time=_NUMBER, predict_time=_NUMBER),
        progress=_record("done", "total", done=_COUNT, total=_COUNT),
        urls=_record("get", "cancel", "events", get=_TEXT, cancel=_TEXT, events=_TEXT, output=_TEXT),
        webhook=_OBJECT,
    ),
    "Predicted": {
        "anyOf": [ref("Answer"), ref("Inferred"), ref("Prediction")],
        "description": "`Inferred` where it was asked for in that form; `Prediction` with "
        "`Prefer: respond-async, wait=N` when it has ended by then.",
    },
    "Inference": {"anyOf": [ref("Inferred"), ref("Prediction")]},
    "Tensors": _record("inputs", inputs=many(_TENSOR), outputs=many(_OBJECT), id=_TEXT, parameters=_OBJECT),
    "Inferred": _record(
        "model_name", "outputs", model_name=_TEXT, model_version=_TEXT, id=_TEXT, outputs=many(_TENSOR)
    ),
    "Upload": {**_UPLOAD, "anyOf": [{"required": [name]} for name in ("file", "bundle")]},
    "EntryForm": {
        **_UPLOAD,
        "properties": {**_UPLOAD["properties"], "image": _FILE},
        "anyOf": [{"required": [name]} for name in ("file", "bundle", "image")],
        "description": "With `image`, and for a model that is there, it is a prediction.",
    },
    "Pools": {
        "type": "object",
        "properties": {kind: {"type": "integer", "minimum": 0, "maximum": 1000} for kind in PoolKind},
        "additionalProperties": False,
        "minProperties": 1,
    },
    "PoolStates": _record("backend", backend=_TEXT, **{kind: ref("PoolState") for kind in PoolKind}),
    "ResumableUpload": _record(
        "id",
        "model",
        "state",
        "offset",
        "length",
        id=_TEXT,
        model=_NAME,
        state=_TEXT,
        offset=_COUNT,
        length=_COUNT,
        created_at=_TIME,
        expires_at=_TIME,
        version=_maybe(ref("Version")),
    ),
    "Start": _record("name", "version", "addresses", name=_TEXT, version=_TEXT, addresses=_OBJECT),
    "Live": _record("live", live={"const": True}),
    "Ready": _record("ready", ready={"const": True}),
    "ModelReady": _record("name", "ready", name=_NAME, ready={"const": True}),
    "Part": _PART,
    "Status": _record(
        *("version", "uptime", "ready", "broker", "database", "store", "backends"),
        version=_TEXT,
        python=_TEXT,
        versions={"type": "object", "additionalProperties": _maybe(_TEXT)},
        uptime={"type": "number"},
        ready={"type": "boolean"},
        broker=ref("Part"),
        database=ref("Part"),
        store=ref("Part"),
        backends=many(ref("Part")),
    ),
    **_RECORDS,
    "Anything": _ANYTHING,
}
"""By name."""
