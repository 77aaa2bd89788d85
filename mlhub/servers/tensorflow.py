"""The TensorFlow runtime: SavedModels, also in bundles that were made for TFaaS."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

# What its libraries print says nothing of any model. They read this once, when they are imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import msgspec
import tensorflow as tf
from google.protobuf.message import DecodeError

from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array
from mlhub.servers import artefact, description, savedmodel
from mlhub.servers.artefact import UNREADABLE, refusal
from mlhub.servers.graph import GraphModel
from mlhub.servers.options import RuntimeOptions

_FILE: Final = "saved_model.pb"
_SIGNATURE: Final = "serving_default"
_PARAMETERS: Final = "params.json"
_DATATYPES: Final = {
    tf.bool: "BOOL",
    tf.uint8: "UINT8",
    tf.uint16: "UINT16",
    tf.uint32: "UINT32",
    tf.uint64: "UINT64",
    tf.int8: "INT8",
    tf.int16: "INT16",
    tf.int32: "INT32",
    tf.int64: "INT64",
    tf.float16: "FP16",
    tf.bfloat16: "FP32",
    tf.float32: "FP32",
    tf.float64: "FP64",
    tf.string: "BYTES",
}
"""The protocol's datatypes; its widest neighbour where it has none."""


class _Parameters(msgspec.Struct):
    """The part of TFaaS's `params.json` that concerns a model server."""

    output_name: str | None = None


class TensorFlowRuntime:
    """Loads SavedModels and runs their default signature."""

    platform = "tensorflow"

    def __init__(self, options: RuntimeOptions) -> None:
        self._limit = options.max_memory
        limit_threads(options.threads)
        _share_gpus()

    def load(self, folder: Path) -> GraphModel:
        """Load the SavedModel in `folder`.

        Raises:
            UnacceptableError: there is none, or it cannot be loaded.
        """
        path = folder / _FILE
        artefact.the_one([path] if path.is_file() else [], f"{_FILE} file")
        declared = description.read(folder).signature
        try:
            savedmodel.check(path, self._limit)
            loaded = tf.saved_model.load(str(folder))
            function = _default(loaded.signatures)
            inputs = [
                _spec(name, spec) for name, spec in sorted(function.structured_input_signature[1].items())
            ]
            outputs = [_spec(name, spec) for name, spec in sorted(function.structured_outputs.items())]
            outputs.sort(key=lambda spec: spec.name != _first_output(folder))
            own = Signature(tuple(inputs), tuple(outputs))
            return GraphModel(
                _compute(loaded, function, own),
                own,
                declared,
                size_bytes=max(sum(variable.nbytes for variable in _variables(loaded)), path.stat().st_size),
                refused=(tf.errors.OpError,),
            )
        except (*UNREADABLE, DecodeError, tf.errors.OpError) as error:
            raise artefact.unreadable(path, error) from error


def limit_threads(count: int) -> None:
    """Have one prediction compute in so many threads. Too late once TensorFlow has computed anything."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        # Parts of a graph that could run at once wait for each other: several predictions run at once.
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError:
        # It has begun, with the threads it was told then.
        return


def _share_gpus() -> None:
    """Take memory of GPUs as it is needed, and not all of it at once."""
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, enable=True)


def _default(signatures: Any) -> Any:
    if _SIGNATURE in signatures:
        return signatures[_SIGNATURE]
    names = list(signatures)
    if len(names) == 1:
        return signatures[names[0]]
    has = f"it has {', '.join(names)}" if names else "it has none"
    raise refusal(
        f"it has no signature {_SIGNATURE!r}, {has}; save it with model.export, or with signatures=…"
    )


def _spec(name: str, spec: Any) -> TensorSpec:
    datatype = _DATATYPES.get(spec.dtype)
    if datatype is None:
        raise refusal(f"its {name!r} is of {spec.dtype.name}, which cannot be sent")
    if spec.shape.rank is None:
        raise refusal(f"its {name!r} may have any shape; save it with a tf.TensorSpec of a certain one")
    return TensorSpec(name, datatype, tuple(ANY if extent is None else int(extent) for extent in spec.shape))


def _compute(loaded: Any, function: Any, own: Signature) -> Callable[[list[Array]], list[Array]]:
    names = [spec.name for spec in own.inputs]
    dtypes = [function.structured_input_signature[1][name].dtype for name in names]
    outputs = [(spec.name, DTYPES[spec.datatype]) for spec in own.outputs]

    def compute(arrays: list[Array]) -> list[Array]:
        given = {
            name: tf.constant(array, dtype) for name, array, dtype in zip(names, arrays, dtypes, strict=True)
        }
        results = function(**given)
        return [results[name].numpy().astype(dtype, copy=False) for name, dtype in outputs]

    # The function does not keep what it was loaded with alive.
    compute.__dict__["loaded"] = loaded
    return compute


def _variables(loaded: Any) -> list[Any]:
    return [variable.numpy() for variable in getattr(loaded, "variables", ())]


def _first_output(folder: Path) -> str | None:
    """Return the output that TFaaS's `params.json` names; a file that is not TFaaS's names none."""
    try:
        return msgspec.json.decode((folder / _PARAMETERS).read_bytes(), type=_Parameters).output_name
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
