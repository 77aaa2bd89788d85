"""Programs of torch.export, `*.pt2`: weights and a graph of PyTorch's own operators."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.export.passes import move_to_device_pass

from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import Array
from mlhub.servers import exportjson
from mlhub.servers.artefact import refusal
from mlhub.servers.graph import GraphModel
from mlhub.servers.torchtensor import datatype, to_array, to_tensor
from mlhub.servers.torchzip import Fate, copied, names

_GRAPH: Final = "models/model.json"
_EXAMPLES: Final = "data/sample_inputs/model.pt"
_CONFIGS: Final = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_TENSORS: Final = ("data/weights/weight_", "data/constants/tensor_")
_KEPT: Final = ("archive_format", "archive_version", "byteorder", ".data/version")
_DROPPED: Final = ("extra/", ".data/serialization_id")


def load(path: Path, device: torch.device, declared: Signature | None, limit: int) -> GraphModel:
    """Load an archive that torch.export.save has written.

    Raises:
        UnacceptableError: it holds more than weights and a graph, or takes what cannot be sent.
    """
    if _GRAPH not in names(path):
        raise refusal(
            f"{path.name} holds no graph of one model; save it with torch.export.save of PyTorch 2.9 or newer"
        )
    with copied(path, _rule, limit) as copy:
        program = torch.export.load(copy)
    if device.type != "cpu":
        program = move_to_device_pass(program, device)
    run = _Program(program, device)
    return GraphModel(
        run.compute, run.signature, declared, size_bytes=run.size_bytes, most_rows=run.most_rows
    )


def _rule(name: str, read: Callable[[], bytes]) -> bytes | Fate:
    if name == _GRAPH or name in _CONFIGS:
        return exportjson.bared(read())
    if name == _EXAMPLES:
        # A pickle, and a graph runs without.
        return b""
    if name in _KEPT or (name.startswith(_TENSORS) and name.rpartition("_")[2].isdigit()):
        return Fate.KEPT
    if name.startswith(_DROPPED):
        return Fate.DROPPED
    raise refusal(
        f"its archive holds {name}, which is no graph and no plain weights, and could run any code; save the "
        "model itself with torch.export.save"
    )


class _Program:
    """A program with its inputs and outputs in the order in which they lie flat."""

    def __init__(self, program: ExportedProgram, device: torch.device) -> None:
        self._device = device
        self._in_spec = program.call_spec.in_spec
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        signature = program.graph_signature
        self._flat: list[Any] = []
        """All arguments: those that never change, and nothing where an input comes."""
        self._places: list[int] = []
        self._dtypes: list[torch.dtype] = []
        inputs = []
        for spec in signature.input_specs:
            if spec.kind is not InputKind.USER_INPUT:
                continue
            value = values[spec.arg.name]
            if isinstance(spec.arg, TensorArgument):
                self._places.append(len(self._flat))
                self._dtypes.append(value.dtype)
                inputs.append(_spec(spec.arg.name, value))
            elif not isinstance(spec.arg, ConstantArgument):
                raise refusal(f"it takes {spec.arg.name!r}, which is no tensor")
            self._flat.append(getattr(spec.arg, "value", None))
        flat_outputs = [spec.arg for spec in signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
        named = _named(program.call_spec.out_spec, len(flat_outputs))
        self._outputs = [at for at, arg in enumerate(flat_outputs) if isinstance(arg, TensorArgument)]
        outputs = [_spec(named[at], values[flat_outputs[at].name]) for at in self._outputs]
        if not inputs or not outputs:
            raise refusal("it takes or gives no tensors")
        self.signature = Signature(tuple(inputs), tuple(outputs))
        tensors = [*program.state_dict.values(), *program.constants.values()]
        self.size_bytes = sum(item.nbytes for item in tensors if isinstance(item, torch.Tensor))
        self.most_rows, other = _rows(program, self.signature)
        module = program.module()
        # Its hooks check extents once more, which costs more than a small model's answer.
        self._run: Callable[..., Any] = module if other else module.forward

    def compute(self, arrays: list[Array]) -> list[Array]:
        """Return all outputs."""
        flat = self._flat.copy()
        for place, array, dtype in zip(self._places, arrays, self._dtypes, strict=True):
            flat[place] = to_tensor(array, dtype, self._device)
        args, kwargs = self._in_spec.unflatten(flat)
        with torch.inference_mode():
            results = _leaves(self._run(*args, **kwargs))
        return [to_array(results[at]) for at in self._outputs]


def _spec(name: str, value: torch.Tensor) -> TensorSpec:
    shape = tuple(extent if isinstance(extent, int) else ANY for extent in value.shape)
    return TensorSpec(name, datatype(value.dtype), shape)


def _rows(program: ExportedProgram, signature: Signature) -> tuple[int | None, bool]:
    """Return how many rows it takes at most, if that is limited, and whether any other extent is free."""
    free = {
        str(extent): extent.node.expr
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in {spec.name for spec in signature.inputs}
        for extent in node.meta["val"].shape[:1]
        if not isinstance(extent, int)
    }
    limits = [int(limit) for symbol in free.values() if (limit := _upper(program, symbol)) is not None]
    return min(limits, default=None), any(str(symbol) not in free for symbol in program.range_constraints)


def _upper(program: ExportedProgram, symbol: Any) -> int | None:
    limits = program.range_constraints.get(symbol)
    # Infinity is an object of its own here.
    return int(limits.upper) if limits is not None and limits.upper.is_Integer else None


def _named(out_spec: Any, count: int) -> list[str]:
    """Name the outputs by what they lie in: a dict's keys, or their places."""
    return [name for name, _ in sorted(_paths(out_spec.unflatten(range(count)), "output"), key=_place)]


def _paths(tree: Any, name: str) -> Iterator[tuple[str, int]]:
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from _paths(item, key if name == "output" else f"{name}.{key}")
    elif isinstance(tree, list | tuple):
        for place, item in enumerate(tree):
            yield from _paths(item, name if len(tree) == 1 else f"{name}_{place}")
    else:
        yield name, tree


def _place(item: tuple[str, int]) -> int:
    return item[1]


def _leaves(tree: Any) -> list[Any]:
    """Return what a nest of containers holds, in the order in which torch.export counts it."""
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in _leaves(item)]
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in _leaves(item)]
    return [tree]
