"""SavedModels: what is served, and that no graph reaches for files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY
from mlhub.servers.graph import GraphModel
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.tensorflow import TensorFlowRuntime

Load = Callable[..., GraphModel]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Save a function as a SavedModel and load it as the server does."""

    def load(function: Callable[..., Any], *specs: Any, name: str = "serving_default") -> GraphModel:
        module = tf.Module()
        module.weight = tf.Variable(2.0)
        module.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2]), default_value=-1
        )
        module.serve = tf.function(
            lambda *given: function(module, *given), input_signature=specs, autograph=False
        )
        tf.saved_model.save(module, str(tmp_path), signatures={name: module.serve})
        return runtime().load(tmp_path)

    return load


def runtime() -> TensorFlowRuntime:
    return TensorFlowRuntime(RuntimeOptions(max_memory=2**28))


def doubled(module: Any, x: Any) -> dict[str, Any]:
    return {"y": x * module.weight}


def test_text_numbers_and_truths_go_in_and_out(load: Load) -> None:
    model = load(
        lambda module, words, flags: {
            "number": module.table.lookup(words),
            "loud": tf.strings.upper(words),
            "not": tf.logical_not(flags),
        },
        tf.TensorSpec((None, 2), tf.string, "words"),
        tf.TensorSpec((None,), tf.bool, "flags"),
    )
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.inputs] == [
        ("flags", "BOOL", (ANY,)),
        ("words", "BYTES", (ANY, 2)),
    ]
    words = np.array([[b"a", b"b"], [b"c", "ä".encode()]], dtype=object)
    answer = model.predict({"words": words, "flags": np.array([True, False])}, ("number", "loud", "not"))
    assert answer["number"].tolist() == [[1, 2], [-1, -1]]
    assert answer["loud"].tolist() == [[b"A", b"B"], [b"C", "ä".encode()]]
    assert answer["not"].tolist() == [False, True]


def test_params_of_tfaas_name_the_output_that_comes_first(load: Load, tmp_path: Path) -> None:
    function = lambda module, x: {"a": x, "b": x * module.weight}  # noqa: E731
    spec = tf.TensorSpec((None, 2), tf.float32, "x")
    given = {"x": np.ones((1, 2), np.float32)}
    assert list(load(function, spec).predict(given, ())) == ["a"]
    (tmp_path / "params.json").write_text(json.dumps({"name": "m", "output_name": "b"}))
    assert list(runtime().load(tmp_path).predict(given, ())) == ["b"]
    (tmp_path / "params.json").write_text("[")
    assert list(runtime().load(tmp_path).predict(given, ())) == ["a"]


def test_another_name_of_the_only_signature_will_do(load: Load) -> None:
    model = load(doubled, tf.TensorSpec((None, 2), tf.float32, "x"), name="mine")
    assert model.predict({"x": np.ones((3, 2), np.float32)}, ())["y"].tolist() == [[2, 2]] * 3


def test_a_model_without_a_signature_is_refused_with_what_to_do(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(UnacceptableError, match=r"no signature 'serving_default', it has none; save it with"):
        runtime().load(tmp_path)


def test_a_shape_that_is_not_known_is_refused_with_what_to_do(load: Load) -> None:
    with pytest.raises(UnacceptableError, match=r"'x' may have any shape; save it with a tf\.TensorSpec"):
        load(doubled, tf.TensorSpec(None, tf.float32, "x"))


def test_a_model_for_one_row_is_run_row_by_row(load: Load) -> None:
    model = load(doubled, tf.TensorSpec((1, 2), tf.float32, "x"))
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(model.predict({"x": rows}, ())["y"], rows * 2)


def test_values_that_the_graph_refuses_are_refused(load: Load) -> None:
    model = load(
        lambda _module, x: {"y": tf.gather(tf.constant([1.0, 2.0]), x)}, tf.TensorSpec((None,), tf.int64, "x")
    )
    with pytest.raises(UnacceptableError, match="refuses this input"):
        model.predict({"x": np.array([7])}, ())


@pytest.mark.parametrize(
    "function",
    [
        lambda _module, x: {"y": tf.io.read_file(x[0])},
        lambda _module, x: {"y": tf.io.matching_files(x[0])},
        lambda _module, x: {
            "y": tf.raw_ops.RestoreV2(
                prefix=x[0], tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.string]
            )[0]
        },
        lambda _module, x: {"y": tf.map_fn(tf.io.read_file, x)},
        lambda _module, x: {
            "y": tf.raw_ops.GenerateVocabRemapping(
                new_vocab_file=x[0], old_vocab_file=x[0], new_vocab_offset=0, num_new_vocab=1
            )[0]
        },
        lambda _module, _: {
            "y": tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=[4], memory_region_name="/etc/hostname")
        },
        lambda _module, _: {
            "y": tf.raw_ops.FixedUnigramCandidateSampler(
                true_classes=[[0]], num_true=1, num_sampled=1, unique=False, range_max=2, vocab_file="/etc/x"
            )[0]
        },
        lambda _module, x: {"y": _after(tf.raw_ops.DatasetFromGraph(graph_def=x[0]), x)},
    ],
)
def test_a_graph_that_reaches_for_files_is_refused(load: Load, function: Any) -> None:
    with pytest.raises(UnacceptableError, match="reaches for files"):
        load(function, tf.TensorSpec((None,), tf.string, "x"))


def _after(before: Any, x: Any) -> Any:
    with tf.control_dependencies([before]):
        return tf.identity(x)


def test_a_graph_that_ends_the_process_is_refused(load: Load) -> None:
    with pytest.raises(UnacceptableError, match="operator Abort, which ends the process"):
        load(
            lambda _module, x: {"y": _after(tf.raw_ops.Abort(error_msg="", exit_without_error=True), x)},
            tf.TensorSpec((None,), tf.string, "x"),
        )


def _with_vocabulary(folder: Path) -> Path:
    """Save a model with a table that comes from a file, and return where."""
    file = folder / "words.txt"
    file.write_text("a\nb\n")
    module = tf.Module()
    words = tf.lookup.TextFileInitializer(
        str(file),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    module.table = tf.lookup.StaticHashTable(words, -1)
    module.serve = tf.function(
        lambda x: {"y": module.table.lookup(x)}, input_signature=[tf.TensorSpec((None,), tf.string, "x")]
    )
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.serve)
    return folder / "saved"


def test_a_vocabulary_among_the_assets_is_served(tmp_path: Path) -> None:
    model = runtime().load(_with_vocabulary(tmp_path))
    words = np.array([b"b", b"c"], dtype=object)
    assert model.predict({"x": words}, ())["y"].tolist() == [1, -1]


@pytest.mark.parametrize("kind", ["constant", "argument", "call", "unbound", "second"])
def test_a_vocabulary_from_elsewhere_is_refused(tmp_path: Path, kind: str) -> None:
    folder = _with_vocabulary(tmp_path)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0]
    functions = graph.graph_def.library.function
    filling = next(one for one in functions if "initializer" in one.signature.name)
    place = graph.object_graph_def.concrete_functions[filling.signature.name].bound_inputs
    match kind:
        case "constant":
            # What is bound is a text that stands in the graph, not the path of an asset.
            graph.object_graph_def.nodes[place[0]].constant.operation = "Const"
        case "argument":
            filling.node_def.add(name="path", op="Const")
            next(node for node in filling.node_def if "TextFile" in node.op).input[1] = "path:output:0"
        case "call":
            other = functions.add()
            other.signature.name = "other"
            other.node_def.add(name="call", op="PartitionedCall").attr["f"].func.name = filling.signature.name
        case "unbound":
            del place[:]
        case "second":
            saved.meta_graphs.add().CopyFrom(graph)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(UnacceptableError, match="fills a table from a file that is none of its assets"):
        runtime().load(folder)


def test_a_vocabulary_that_the_client_names_is_refused(load: Load) -> None:
    def leak(_module: Any, x: Any) -> dict[str, Any]:
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        filled = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename=x[0], key_index=-2, value_index=-1
        )
        with tf.control_dependencies([filled]):
            keys, _ = tf.raw_ops.LookupTableExportV2(table_handle=table, Tkeys=tf.string, Tvalues=tf.int64)
        return {"y": tf.reshape(keys, [-1])}

    with pytest.raises(UnacceptableError, match="none of its assets"):
        load(leak, tf.TensorSpec((None,), tf.string, "x"))


def test_a_function_that_runs_when_a_model_loads_is_looked_at_too(load: Load, tmp_path: Path) -> None:
    load(doubled, tf.TensorSpec((None, 2), tf.float32, "x"))
    path = tmp_path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    starting = next(function for function in functions if "initializer" in function.signature.name)
    starting.node_def.add(name="leak", op="WriteFile")
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(UnacceptableError, match="operator WriteFile, which reaches for files"):
        runtime().load(tmp_path)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd"])
def test_an_asset_outside_of_the_model_is_refused(load: Load, tmp_path: Path, name: str) -> None:
    load(doubled, tf.TensorSpec((None, 2), tf.float32, "x"))
    path = tmp_path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    saved.meta_graphs[0].asset_file_def.add(filename=name)
    path.write_bytes(saved.SerializeToString())
    with pytest.raises(UnacceptableError, match="lies outside of it"):
        runtime().load(tmp_path)
