"""TorchScript, `*.pt`: weights and source text in PyTorch's own language, which is not Python."""

import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import Array
from mlhub.servers.artefact import UNREADABLE, check_rows, first_line, refusal
from mlhub.servers.graph import GraphModel
from mlhub.servers.torchtensor import datatype, dtype_of, to_array, to_tensor
from mlhub.servers.torchzip import Fate, check_pickle, copied, names

_CONSTANTS: Final = "constants.pkl"
"""An entry that TorchScript has, and a pickled module has not."""
_KEPT: Final = ("version", "byteorder", ".data/version")
_WEIGHTS: Final = re.compile(r"(data|constants|attributes)/\d+")
_PICKLES: Final = ("data.pkl", _CONSTANTS, "attributes.pkl")
_DROPPED: Final = re.compile(
    r".*\.debug_pkl|(extra|traced_inputs|bytecode)/.*|\.data/serialization_id|(bytecode|traced_inputs)\.pkl"
)
_SOURCE: Final = re.compile(r"code/[\w/.]+\.py")
_FILES: Final = re.compile(r"\b(from_file|save|_save|load)\b", re.ASCII)
"""Operators that read or write files, wherever the words stand."""
_FOREIGN: Final = re.compile(
    r"\bops\s*\.\s*(?!(aten|prim|prims|quantized|_quantized|torchvision|sparse|mkldnn|mkldnn_prepacked)\b)(\w+)"
)
"""Operators that are not PyTorch's own."""
_GETATTR: Final = re.compile(r"\bgetattr\b(?!\([\w.]+, \"[^\"\\]*\"\))", re.ASCII)
"""A way to name an operator so that no word of it stands there."""
_SIGNATURE: Final = (
    '{"signature": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}]}} '
    "(datatype and shape as your model has them)"
)


def load(path: Path, device: torch.device, declared: Signature | None, limit: int) -> GraphModel:
    """Load a file that torch.jit.save has written.

    Args:
        path: the file.
        device: where the model computes.
        declared: the bundle's signature: the format itself does not say what a model takes.
        limit: bytes it may unpack to.

    Raises:
        UnacceptableError: it is a pickle, holds more than weights and source text, or has no signature.
    """
    if not zipfile.is_zipfile(path) or _CONSTANTS not in names(path):
        raise refusal(
            f"{path.name} is no TorchScript. A file from torch.save is a pickle, which could run any code; "
            "save the model with torch.export.save (model.pt2) or torch.jit.save (model.pt)"
        )
    if declared is None:
        raise refusal(
            f"{path.name} does not say what it takes; add a mlhub.json with {_SIGNATURE}, or save the model "
            "with torch.export.save, which says it"
        )
    # PyTorch is to give it up one day, which is nothing that whoever reads this server's log could change.
    warnings.filterwarnings("ignore", message=r"`torch\.jit\.load`", category=DeprecationWarning)
    with copied(path, _rule, limit) as copy:
        module = torch.jit.load(str(copy), map_location=device).eval()  # type: ignore[no-untyped-call]
    run = _Script(module, device, declared)
    return GraphModel(run.compute, run.signature, declared, size_bytes=run.size_bytes)


def _rule(name: str, read: Callable[[], bytes]) -> bytes | Fate:
    if _DROPPED.fullmatch(name):
        return Fate.DROPPED
    if name in _KEPT or _WEIGHTS.fullmatch(name):
        return Fate.KEPT
    if name in _PICKLES:
        content = read()
        check_pickle(name, content)
        return content
    if _SOURCE.fullmatch(name):
        content = read()
        _check_source(content.decode())
        return content
    raise refusal(f"its archive holds {name}, which is no part of a TorchScript model")


def _check_source(text: str) -> None:
    if found := _FILES.search(text):
        raise refusal(f"its code has the word {found[1]!r}, with which TorchScript reads and writes files")
    if found := _FOREIGN.search(text):
        raise refusal(f"its code calls operators of {found[2]!r}, which are none of PyTorch's own")
    if _GETATTR.search(text):
        raise refusal("its code looks up names in a way that torch.jit.save does not write")


class _Script:
    """A script module with its inputs and outputs in order."""

    def __init__(self, module: Any, device: torch.device, declared: Signature) -> None:
        self._module = module
        self._device = device
        specs = _in_order(module, declared.inputs)
        check_rows(specs)
        self._dtypes = [dtype_of(spec.datatype) for spec in specs]
        self._keys: tuple[str, ...] | None = None
        outputs = self._outputs(specs, [spec.name for spec in declared.outputs])
        self.signature = Signature(specs, outputs)
        tensors = [*module.parameters(), *module.buffers()]
        self.size_bytes = sum(tensor.nbytes for tensor in tensors)

    def compute(self, arrays: list[Array]) -> list[Array]:
        """Return all outputs."""
        return [to_array(item) for item in self._flat(self._call(arrays))]

    def _call(self, arrays: list[Array]) -> Any:
        tensors = [
            to_tensor(array, dtype, self._device) for array, dtype in zip(arrays, self._dtypes, strict=True)
        ]
        with torch.inference_mode():
            return self._module(*tensors)

    def _flat(self, result: Any) -> list[Any]:
        if self._keys is not None:
            return [result[key] for key in self._keys]
        return list(result) if isinstance(result, list | tuple) else [result]

    def _outputs(self, inputs: tuple[TensorSpec, ...], wanted: list[str]) -> tuple[TensorSpec, ...]:
        """Find out what comes out, by a row of zeros and by two."""
        one, two = self._try(inputs, 1), None
        if isinstance(one, dict):
            self._keys = tuple(wanted) if set(wanted) == set(one) else tuple(one)
        if all(spec.shape[0] == ANY for spec in inputs):
            two = self._try(inputs, 2)
        rows = self._flat(one)
        names = self._keys or tuple(
            "output" if len(rows) == 1 else f"output_{place}" for place in range(len(rows))
        )
        shapes = [_extents(item) for item in rows]
        if two is not None:
            shapes = [
                tuple(ANY if a != b else a for a, b in zip(_extents(item), shape, strict=True))
                for item, shape in zip(self._flat(two), shapes, strict=True)
            ]
        return tuple(
            TensorSpec(name, datatype(item.dtype), shape)
            for name, item, shape in zip(names, rows, shapes, strict=True)
        )

    def _try(self, inputs: tuple[TensorSpec, ...], rows: int) -> Any:
        zeros = [
            torch.zeros([rows if extent == ANY else extent for extent in spec.shape]).numpy()
            for spec in inputs
        ]
        try:
            return self._call(zeros)
        except UNREADABLE as error:
            raise refusal(
                f"it does not run on zeros of the shapes in its mlhub.json: {first_line(error)}"
            ) from error


def _extents(item: Any) -> tuple[int, ...]:
    if not isinstance(item, torch.Tensor):
        raise refusal(f"it gives a {type(item).__name__} where a tensor should be")
    return tuple(item.shape)


def _in_order(module: Any, declared: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """Return the inputs in the order of the module's parameters, where they have the same names."""
    known = [argument.name for argument in module.forward.schema.arguments[1:]]
    by_name = {spec.name: spec for spec in declared}
    if all(name in known for name in by_name):
        return tuple(by_name[name] for name in known if name in by_name)
    return declared
