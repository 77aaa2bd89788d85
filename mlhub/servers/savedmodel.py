"""SavedModels from elsewhere: their graphs are looked at before TensorFlow runs any part of them.

A graph of TensorFlow's own operators can read and write any file. In a SavedModel as TensorFlow writes it,
only the functions that save and restore its variables do so.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tensorflow.core.protobuf import saved_model_pb2

from mlhub.servers.artefact import refusal

_FILES: Final = re.compile(
    r"(Read|Write)File|MatchingFiles|(Eager)?PyFunc(Stateless)?|.*(Save|Restore)(V2|Slices?|Dataset)*"
    r"|(MergeV2|Delete)Checkpoints?|Debug\w*|.*SummaryWriter|Write\w*Summary|.*Reader(V2)?|LMDB\w*"
    r"|(TextLine|TFRecord|FixedLengthRecord|Sql\w*|Cache|Snapshot|Load|DataService|CSV|Experimental\w*)"
    r"Dataset(V\d)?|DatasetToTFRecord|Rpc\w*|.*>.*",
    re.ASCII,
)
"""Operators that reach for files, the network or Python."""
_PRINTS: Final = "PrintV2"
_STREAMS: Final = (b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)")


def check(path: Path, limit: int) -> None:
    """Look at all operators of a SavedModel.

    Raises:
        UnacceptableError: its graph reaches for files elsewhere than where it saves and restores variables.
        DecodeError: it is no SavedModel.
    """
    if path.stat().st_size > limit:
        raise refusal(f"{path.name} has {path.stat().st_size} bytes, more than this server has for models")
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    if not saved.meta_graphs:
        raise refusal(f"{path.name} holds no graph")
    for graph in saved.meta_graphs:
        for asset in graph.asset_file_def:
            name = PurePosixPath(asset.filename)
            if name.is_absolute() or ".." in name.parts:
                raise refusal(f"its asset {asset.filename!r} lies outside of it")
        _check_graph(graph)


def _check_graph(graph: Any) -> None:
    functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}
    saver = graph.saver_def
    saving = _leading_to(nodes, (saver.save_tensor_name, saver.restore_op_name, saver.filename_tensor_name))
    savers = _called_by(functions, (nodes[name] for name in saving))
    for name, node in nodes.items():
        if name not in saving:
            _check_node(node)
    for name, body in functions.items():
        if name not in savers:
            for node in body:
                _check_node(node)
    served = [
        tensor.name
        for signature in graph.signature_def.values()
        for tensor in (*signature.inputs.values(), *signature.outputs.values())
    ]
    answering = _leading_to(nodes, served)
    for name in _called_by(functions, (nodes[name] for name in answering)):
        for node in functions[name]:
            _check_node(node)
    for name in answering:
        _check_node(nodes[name])


def _check_node(node: Any) -> None:
    prints = node.op == _PRINTS and node.attr["output_stream"].s not in _STREAMS
    if prints or _FILES.fullmatch(node.op):
        raise refusal(f"its graph has the operator {node.op}, which reaches for files or code outside of it")


def _leading_to(nodes: dict[str, Any], tensors: Iterable[str]) -> set[str]:
    """Return the names of all nodes that these tensors are computed from."""
    found: set[str] = set()
    waiting = [_node_of(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name in found or name not in nodes:
            continue
        found.add(name)
        waiting += map(_node_of, nodes[name].input)
    return found


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _called_by(functions: dict[str, Any], nodes: Iterable[Any]) -> set[str]:
    """Return the names of all functions that these nodes call, however deep."""
    found: set[str] = set()
    waiting = [name for node in nodes for name in _calls(node)]
    while waiting:
        name = waiting.pop()
        if name in found or name not in functions:
            continue
        found.add(name)
        waiting += [other for node in functions[name] for other in _calls(node)]
    return found


def _calls(node: Any) -> Iterator[str]:
    # An operator may also be the name of a function.
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name
