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
    ],
)
def test_a_graph_that_reaches_for_files_is_refused(load: Load, function: Any) -> None:
    with pytest.raises(UnacceptableError, match="reaches for files"):
        load(function, tf.TensorSpec((None,), tf.string, "x"))


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
