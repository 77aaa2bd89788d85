"""The Keras runtime: `*.keras` files, in safe mode, on the engine that is installed."""

import importlib.util
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import numpy as np

from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array
from mlhub.servers import artefact, description
from mlhub.servers.artefact import UNREADABLE, refusal
from mlhub.servers.graph import GraphModel
from mlhub.servers.options import RuntimeOptions

_ENGINES: Final = ("torch", "tensorflow", "jax")
"""Engines that Keras runs on, the preferred one first."""


def _choose_engine() -> str:
    return next((name for name in _ENGINES if importlib.util.find_spec(name)), _ENGINES[0])


# Keras reads it once, when it is imported.
os.environ.setdefault("KERAS_BACKEND", _choose_engine())

import keras  # noqa: E402

_CONFIG: Final = "config.json"
_LONGEST: Final = 64 * 1024 * 1024
"""Bytes that the description of a model's layers may have."""
_MODULES: Final = re.compile(
    r"keras(\.(layers|models|initializers|regularizers|constraints|activations|dtype_policies|losses|metrics"
    r"|optimizers(\.schedules)?|quantizers|random))?"
    r"|keras\.src\.(layers|models|ops|initializers|regularizers|constraints|activations|dtype_policies"
    r"|quantizers|random)(\.\w+)*",
    re.ASCII,
)
"""Parts of Keras that a model may be made of."""
_RUNNING: Final = ("Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer")
"""Layers that bring code of their own."""
_DATATYPES: Final = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "FP32",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
"""The protocol's datatypes; its widest neighbour where it has none."""

Call = Callable[[list[Any]], list[Any]]
"""Computes a model's outputs, flat, from tensors or arrays in the order of its inputs."""


class KerasRuntime:
    """Loads models that Keras 3 has saved as one file."""

    platform = "keras"

    def __init__(self, options: RuntimeOptions) -> None:
        self._limit = options.max_memory
        # It wraps each error in a text of many lines, of which the first says nothing.
        keras.config.disable_traceback_filtering()
        _limit_threads(options.threads)
        self._engine_errors = _engine_errors()
        self._unreadable: tuple[type[Exception], ...] = (*UNREADABLE, *self._engine_errors)

    def load(self, folder: Path) -> GraphModel:
        """Load the one model file in `folder`.

        Raises:
            UnacceptableError: there is none, there are several, or it cannot be loaded.
        """
        path = artefact.the_one(artefact.files(folder, (".keras",)), "*.keras file")
        declared = description.read(folder).signature
        try:
            artefact.check_unpacked(path, self._limit)
            _check_config(path)
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
            own = _signature(model)
            return GraphModel(
                _compute(model, own), own, declared, size_bytes=_size(model), refused=self._engine_errors
            )
        except self._unreadable as error:
            raise artefact.unreadable(path, error) from error


def _check_config(path: Path) -> None:
    """Look at all that a model is made of, before Keras builds it.

    Raises:
        UnacceptableError: something is no part of Keras, or brings code of its own.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_CONFIG).file_size > _LONGEST:
            raise refusal(f"its {_CONFIG} has more than {_LONGEST} bytes")
        config = json.loads(archive.read(_CONFIG))
    # What it was trained with is not loaded.
    config.pop("compile_config", None)
    for part in _dicts(config):
        if "class_name" not in part:
            continue
        name, module = part["class_name"], part.get("module")
        if name in _RUNNING or name in {"__lambda__", "function"}:
            raise refusal(
                f"it holds a {name.strip('_')}, which is code of its own; use layers of Keras in its place, "
                "and do what they cannot before the model is called"
            )
        if module is None and str(name).startswith("__"):
            # Values that JSON has no form for: tensors, slices, ellipses.
            continue
        if not _MODULES.fullmatch(str(module)):
            raise refusal(
                f"it holds {name!r} of {module!r}, which is no part of Keras, and has its code elsewhere"
            )


def _dicts(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _signature(model: Any) -> Signature:
    given = getattr(model, "inputs", None)
    if not given:
        raise refusal("it does not say what it takes; begin it with keras.Input")
    inputs = tuple(_spec(tensor.name, tensor) for tensor in given)
    if any(spec.datatype == "BYTES" for spec in inputs) and keras.backend.backend() != "tensorflow":
        raise refusal(
            "it takes text, which Keras can do on TensorFlow only; install mlhub[tensorflow], and start this "
            "server with KERAS_BACKEND=tensorflow"
        )
    structure = model.compute_output_spec(_structure(model))
    tensors = keras.tree.flatten(structure)
    return Signature(
        inputs, tuple(_spec(*item) for item in zip(_names(model, structure), tensors, strict=True))
    )


def _names(model: Any, structure: Any) -> list[str]:
    """Name the outputs: by the keys they come under, else by the layers they come from."""
    count = len(keras.tree.flatten(structure))
    places = keras.tree.pack_sequence_as(structure, range(count))
    if isinstance(places, dict) and len(places) == count:
        return sorted(places, key=places.__getitem__)
    names = getattr(model, "output_names", None) or [model.layers[-1].name]
    return names if len(set(names)) == count else [f"output_{place}" for place in range(count)]


def _spec(name: str, tensor: Any) -> TensorSpec:
    datatype = _DATATYPES.get(keras.backend.standardize_dtype(tensor.dtype))
    if datatype is None:
        raise refusal(f"it takes or gives tensors of {tensor.dtype}, which cannot be sent")
    return TensorSpec(name, datatype, tuple(ANY if extent is None else extent for extent in tensor.shape))


def _compute(model: Any, own: Signature) -> Callable[[list[Array]], list[Array]]:
    call = _traced(model) if keras.backend.backend() == "tensorflow" else _called(model)
    dtypes = [DTYPES[spec.datatype] for spec in own.outputs]

    def compute(arrays: list[Array]) -> list[Array]:
        with _inference():
            results = call([array if array.flags.writeable else array.copy() for array in arrays])
            return [
                np.asarray(_to_numpy(result)).astype(dtype, copy=False)
                for result, dtype in zip(results, dtypes, strict=True)
            ]

    return compute


def _structure(model: Any) -> Any:
    """Return what a model's inputs lie in when it is called: a list, a dict, or nothing."""
    return getattr(model, "input", model.inputs[0])


def _called(model: Any) -> Call:
    structure = _structure(model)

    def call(given: list[Any]) -> list[Any]:
        tensors = [keras.ops.convert_to_tensor(array) for array in given]
        flat: list[Any] = keras.tree.flatten(
            model(keras.tree.pack_sequence_as(structure, tensors), training=False)
        )
        return flat

    return call


def _traced(model: Any) -> Call:
    """Make one graph of a model on TensorFlow, which is several times quicker than layer after layer."""
    import tensorflow as tf  # noqa: PLC0415 - only where Keras runs on it

    structure = _structure(model)
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in model.inputs]

    @tf.function(input_signature=[specs], autograph=False)  # type: ignore[untyped-decorator]
    def traced(given: list[Any]) -> list[Any]:
        flat: list[Any] = keras.tree.flatten(
            model(keras.tree.pack_sequence_as(structure, given), training=False)
        )
        return flat

    graph = traced.get_concrete_function()

    def call(given: list[Any]) -> list[Any]:
        flat: list[Any] = tf.nest.flatten(graph(*[tf.constant(array) for array in given]))
        return flat

    return call


def _to_numpy(result: Any) -> Any:
    engine = keras.backend.backend()
    if engine == "tensorflow":
        return result.numpy()
    if engine == "torch":
        from mlhub.servers.torchtensor import to_array  # noqa: PLC0415 - only where Keras runs on it

        return to_array(result)
    return keras.ops.convert_to_numpy(result)


def _inference() -> AbstractContextManager[Any]:
    if keras.backend.backend() != "torch":
        return nullcontext()
    import torch  # noqa: PLC0415 - only where Keras runs on it

    return torch.inference_mode()


def _limit_threads(count: int) -> None:
    engine = keras.backend.backend()
    if engine == "torch":
        import torch  # noqa: PLC0415 - only where Keras runs on it

        torch.set_num_threads(count)
    elif engine == "tensorflow":
        from mlhub.servers.tensorflow import limit_threads  # noqa: PLC0415 - only where Keras runs on it

        limit_threads(count)


def _engine_errors() -> tuple[type[Exception], ...]:
    """Return what the engine raises besides Python's own errors."""
    if keras.backend.backend() != "tensorflow":
        return ()
    import tensorflow as tf  # noqa: PLC0415 - only where Keras runs on it

    return (tf.errors.OpError,)


def _size(model: Any) -> int:
    return sum(
        int(np.prod(weight.shape)) * DTYPES[_DATATYPES.get(weight.dtype, "FP32")].itemsize
        for weight in model.weights
    )
