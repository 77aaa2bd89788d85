"""Keras models: what is served, and that no layer brings code of its own."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, TensorSpec
from mlhub.servers.graph import GraphModel
from mlhub.servers.keras import KerasRuntime, keras
from mlhub.servers.options import RuntimeOptions

Load = Callable[[Any], GraphModel]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Save a model and load it as the server does."""

    def load(model: Any) -> GraphModel:
        model.save(tmp_path / "model.keras")
        return KerasRuntime(RuntimeOptions(max_memory=2**28)).load(tmp_path)

    return load


def edit(path: Path, change: Callable[[Any], None]) -> None:
    with zipfile.ZipFile(path) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    config = json.loads(entries["config.json"])
    change(config)
    entries["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as target:
        for name, content in entries.items():
            target.writestr(name, content)


def test_several_inputs_and_outputs_of_several_kinds_have_names(load: Load) -> None:
    number = keras.Input((3,), name="number")
    count = keras.Input((3,), dtype="int32", name="count")
    total = keras.ops.add(number, keras.ops.cast(count, "float32"))
    outputs = {"total": total, "large": keras.ops.greater(total, 2), "twice": keras.ops.multiply(count, 2)}
    model = load(keras.Model([number, count], outputs))
    assert model.signature.inputs == (
        TensorSpec("number", "FP32", (ANY, 3)),
        TensorSpec("count", "INT32", (ANY, 3)),
    )
    assert [(spec.name, spec.datatype) for spec in model.signature.outputs] == [
        ("large", "BOOL"),
        ("total", "FP32"),
        ("twice", "INT32"),
    ]
    given = {"number": np.ones((2, 3), np.float32), "count": np.arange(6, dtype=np.int32).reshape(2, 3)}
    answer = model.predict(given, ("twice", "large", "total"))
    np.testing.assert_array_equal(answer["twice"], given["count"] * 2, strict=True)
    np.testing.assert_array_equal(answer["total"], given["count"] + np.float32(1))
    np.testing.assert_array_equal(answer["large"], given["count"] > 1)


def test_inputs_that_come_in_a_dict_have_its_names(load: Load) -> None:
    given = {name: keras.Input((2,), name=name) for name in ("b", "a")}
    model = load(keras.Model(given, keras.ops.subtract(given["a"], given["b"])))
    rows = {"a": np.full((1, 2), 5, np.float32), "b": np.full((1, 2), 3, np.float32)}
    (answer,) = model.predict(rows, ()).values()
    assert answer.tolist() == [[2, 2]]


def test_a_sequence_of_layers_answers_as_it_does_itself(load: Load) -> None:
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
        ]
    )
    rows = np.random.default_rng(0).normal(size=(5, 4, 4, 1)).astype(np.float32)
    served = load(model)
    (name,) = (spec.name for spec in served.signature.inputs)
    (answer,) = served.predict({name: rows}, ()).values()
    np.testing.assert_allclose(answer, keras.ops.convert_to_numpy(model(rows)), atol=1e-6)


def test_a_model_for_one_row_is_run_row_by_row_and_one_for_some_is_refused(load: Load) -> None:
    one = load(keras.Sequential([keras.Input(batch_shape=(1, 3)), keras.layers.Rescaling(2.0)]))
    assert one.signature.batchable
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    (name,) = (spec.name for spec in one.signature.inputs)
    (answer,) = one.predict({name: rows}, ()).values()
    np.testing.assert_array_equal(answer, rows * 2)
    with pytest.raises(UnacceptableError, match=r"shapes only: .* \[8, 3\]"):
        load(keras.Sequential([keras.Input(batch_shape=(8, 3)), keras.layers.Rescaling(2.0)]))


def test_a_lambda_layer_is_refused_with_the_reason(load: Load) -> None:
    with pytest.raises(UnacceptableError, match=r"holds a [Ll]ambda, which is code of its own"):
        load(keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda rows: rows * 2)]))


def test_a_layer_that_is_none_of_keras_own_is_refused(load: Load) -> None:
    @keras.saving.register_keras_serializable("tests")
    class Mine(keras.layers.Layer):  # type: ignore[misc]
        def call(self, rows: Any) -> Any:
            return rows

    with pytest.raises(UnacceptableError, match=r"'Mine' of .* which is no part of Keras"):
        load(keras.Sequential([keras.Input((2,)), Mine()]))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.utils", "get_file"),
        ("keras.src.utils.file_utils", "get_file"),
        ("keras.config", "enable_unsafe_deserialization"),
        ("builtins", "exec"),
        ("os", "system"),
        ("keras.layers", "TFSMLayer"),
        ("keras.layers", "TorchModuleWrapper"),
    ],
)
def test_a_function_in_place_of_a_layer_is_refused(
    load: Load, tmp_path: Path, module: str, name: str
) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    load(model)
    evil = {"module": module, "class_name": name, "config": {}, "registered_name": None}
    edit(tmp_path / "model.keras", lambda config: config["config"]["layers"].append(evil))
    with pytest.raises(UnacceptableError, match=r"no part of Keras|code of its own"):
        KerasRuntime(RuntimeOptions(max_memory=2**28)).load(tmp_path)


def squared(wanted: Any, found: Any) -> Any:
    return (wanted - found) ** 2


def test_what_it_was_trained_with_does_not_matter(load: Load) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss=squared)
    assert load(model).signature.batchable


def test_text_is_taken_on_tensorflow_alone(tmp_path: Path) -> None:
    program = """
import sys, pathlib, numpy as np
from mlhub.common.errors import UnacceptableError
from mlhub.servers.keras import KerasRuntime, keras
from mlhub.servers.options import RuntimeOptions
folder = pathlib.Path(sys.argv[1])
words = keras.layers.StringLookup(vocabulary=["no", "yes"])
given = keras.Input((1,), dtype="string", name="word")
keras.Model(given, {"number": words(given)}).save(folder / "model.keras")
model = KerasRuntime(RuntimeOptions(max_memory=2**28)).load(folder)
rows = np.array([[b"yes"], [b"maybe"]], dtype=object)
print([spec.datatype for spec in model.signature.inputs], model.predict({"word": rows}, ())["number"].tolist())
place = keras.Input((1,), dtype="int64", name="place")
keras.Model(place, keras.layers.Embedding(3, 2)(place)).save(folder / "model.keras")
model = KerasRuntime(RuntimeOptions(max_memory=2**28)).load(folder)
try:
    model.predict({"place": np.array([[7]])}, ())
except UnacceptableError as error:
    print(error.detail.partition(":")[0])
(folder / "model.keras").unlink()
keras.Model(given, {"number": words(given)}).save(folder / "model.keras")
"""
    ended = subprocess.run(
        (sys.executable, "-c", program, str(tmp_path)),
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = ["['BYTES'] [[2], [0]]", "The model refuses this input"]
    assert ended.stdout.splitlines() == said, ended.stderr
    with pytest.raises(UnacceptableError, match="start this server with KERAS_BACKEND=tensorflow"):
        KerasRuntime(RuntimeOptions(max_memory=2**28)).load(tmp_path)
