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
    r"|(MergeV2|Delete)Checkpoints?|Debug\w*|.*SummaryWriter|Create\w*Writer|Write\w*Summary|ImportEvent"
    r"|.*Reader(V2)?|LMDB\w*|RecordInput|ImmutableConst|GenerateVocabRemapping|LoadAndRemapMatrix"
    r"|FixedUnigramCandidateSampler|FileSystemSetConfiguration|(De|En)codeProto(V2)?|DatasetFromGraph|TRT\w*"
    r"|(TextLine|TFRecord|FixedLengthRecord|Sql\w*|Cache|Snapshot|Load|DataService|CSV|Experimental\w*)"
    r"Dataset(V\d)?|DatasetToTFRecord|Rpc\w*|.*>.*",
    re.ASCII,
)
"""Operators that reach for files, the network or Python, or have a graph in a text."""
_ENDS: Final = "Abort"
"""The operator that ends the process."""
_VOCABULARIES: Final = re.compile(r"InitializeTableFromTextFile(V2)?")
"""Operators that fill a table from a file, as layers with a vocabulary do, from one of the model's assets."""
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
        _check_vocabularies(graph, is_only=len(saved.meta_graphs) == 1)
        _check_graph(graph)


def _check_vocabularies(graph: Any, *, is_only: bool) -> None:
    """Refuse tables that are filled from another file than an asset, when the model is loaded or later.

    Whatever else comes in as the name of the file could be the client's, or one that stands in the graph.
    """
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    filling = {name for name, function in functions.items() if any(map(_is_filling, function.node_def))}
    called = {name for function in functions.values() for node in function.node_def for name in _calls(node)}
    if (
        any(map(_is_filling, graph.graph_def.node))
        or (filling and not is_only)
        or filling & called
        or not all(_fills_from_assets(functions[name], graph.object_graph_def) for name in filling)
    ):
        raise refusal("its graph fills a table from a file that is none of its assets")


def _is_filling(node: Any) -> bool:
    return _VOCABULARIES.fullmatch(node.op) is not None


def _fills_from_assets(function: Any, objects: Any) -> bool:
    """Tell whether all that a function takes is the model's own, and its names of files are assets."""
    name = function.signature.name
    arguments = [argument.name for argument in function.signature.input_arg]
    bound = objects.concrete_functions[name].bound_inputs if name in objects.concrete_functions else ()
    if len(bound) != len(arguments) or not all(0 <= place < len(objects.nodes) for place in bound):
        return False
    assets = {
        argument
        for argument, place in zip(arguments, bound, strict=True)
        if objects.nodes[place].WhichOneof("kind") == "asset"
    }
    return all(node.input[1] in assets for node in function.node_def if _is_filling(node))


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
    if node.op == _ENDS:
        raise refusal(f"its graph has the operator {node.op}, which ends the process that serves it")


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
