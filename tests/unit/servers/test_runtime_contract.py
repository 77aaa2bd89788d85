"""What every runtime does: load a model from a folder, declare it, and answer as the framework itself does.

A framework joins by a sample here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import skops.io
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from mlhub.common import tensor
from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY
from mlhub.common.tensor import Array
from mlhub.servers.frameworks import FRAMEWORKS, create_runtime
from mlhub.servers.inference import fit
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.runtime import LoadedModel, Runtime


class Sample(msgspec.Struct):
    """A model of one framework, and what the framework itself says of some inputs."""

    file: str
    """Name of the model's file, which alone makes the bundle."""
    inputs: dict[str, Array]
    expected: dict[str, Array]
    """All outputs by name, the default one first."""


def sklearn_sample(folder: Path) -> Sample:
    rows, classes = load_iris(return_X_y=True)
    estimator = LogisticRegression(max_iter=1000).fit(rows, classes)
    skops.io.dump(estimator, folder / "iris.skops")
    expected = {"predict": estimator.predict(rows), "predict_proba": estimator.predict_proba(rows)}
    return Sample("iris.skops", {"input": rows}, expected)


def pytorch_sample(folder: Path) -> Sample:
    rows = load_iris(return_X_y=True)[0].astype(np.float32)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    program = torch.export.export(
        model, (torch.zeros(2, 4),), dynamic_shapes={"input": {0: torch.export.Dim("rows")}}
    )
    torch.export.save(program, folder / "iris.pt2")
    with torch.inference_mode():
        expected = model(torch.from_numpy(rows)).numpy()
    return Sample("iris.pt2", {"input": rows}, {"output": expected})


def keras_sample(folder: Path) -> Sample:
    import keras

    rows = load_iris(return_X_y=True)[0].astype(np.float32)
    keras.utils.set_random_seed(0)
    given = keras.Input((4,), name="flower")
    hidden = keras.layers.Dense(8, activation="relu")(given)
    outputs = {"kind": keras.layers.Dense(3, activation="softmax")(hidden), "trace": hidden}
    model = keras.Model(given, outputs)
    model.save(folder / "iris.keras")
    found = model(rows, training=False)
    expected = {name: keras.ops.convert_to_numpy(array) for name, array in found.items()}
    return Sample("iris.keras", {"flower": rows}, expected)


def tensorflow_sample(folder: Path) -> Sample:
    import tensorflow as tf

    rows = load_iris(return_X_y=True)[0].astype(np.float32)
    names = np.array([f"flower {number}".encode() for number in range(len(rows))], dtype=object)
    weights = tf.Variable(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    module = tf.Module()
    module.weights = weights

    def serve(flower: Any, name: Any) -> Any:
        likely = tf.nn.softmax(tf.matmul(flower, weights))
        return {"kind": likely, "name": tf.strings.upper(name), "sure": tf.reduce_max(likely, 1) > 0.5}

    specs = (tf.TensorSpec((None, 4), tf.float32, "flower"), tf.TensorSpec((None,), tf.string, "name"))
    module.serve = tf.function(serve, input_signature=specs, autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    expected = {name: array.numpy() for name, array in sorted(module.serve(rows, names).items())}
    return Sample("saved_model.pb", {"flower": rows, "name": names}, expected)


SAMPLES: dict[str, Callable[[Path], Sample]] = {
    "keras": keras_sample,
    "pytorch": pytorch_sample,
    "sklearn": sklearn_sample,
    "tensorflow": tensorflow_sample,
}


def close(found: Array, expected: Array) -> None:
    """Check that arrays are of one type and as equal as sums of floats in another order are."""
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, strict=True)
    else:
        np.testing.assert_array_equal(found, expected, strict=True)


OPTIONS = RuntimeOptions(max_memory=2**30)


def test_every_framework_has_a_sample() -> None:
    assert SAMPLES.keys() == FRAMEWORKS.keys()


@pytest.fixture(params=sorted(SAMPLES))
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sample(framework: str, tmp_path: Path) -> Sample:
    return SAMPLES[framework](tmp_path)


@pytest.fixture
def runtime(framework: str) -> Runtime:
    return create_runtime(framework, OPTIONS)


@pytest.fixture
def loaded(runtime: Runtime, sample: Sample, tmp_path: Path) -> LoadedModel:
    del sample
    return runtime.load(tmp_path)


def test_it_names_its_framework(runtime: Runtime, framework: str) -> None:
    assert runtime.platform.startswith(framework)


def test_the_signature_tells_inputs_and_outputs(loaded: LoadedModel, sample: Sample) -> None:
    signature = loaded.signature
    assert [spec.name for spec in signature.inputs] == list(sample.inputs)
    assert [spec.name for spec in signature.outputs] == list(sample.expected)
    assert signature.batchable
    arrays = sample.inputs | sample.expected
    for spec in signature.inputs + signature.outputs:
        array = arrays[spec.name]
        assert tensor.DTYPES[spec.datatype] == array.dtype
        assert spec.shape == (ANY, *array.shape[1:])
    assert fit(sample.inputs, signature) == sample.inputs


def test_without_names_the_first_output_comes_alone(loaded: LoadedModel, sample: Sample) -> None:
    assert list(loaded.predict(sample.inputs, ())) == [loaded.signature.outputs[0].name]


def test_outputs_equal_the_frameworks_own(loaded: LoadedModel, sample: Sample) -> None:
    answer = loaded.predict(sample.inputs, tuple(sample.expected))
    assert list(answer) == list(sample.expected)
    for name, expected in sample.expected.items():
        close(answer[name], expected)


def test_inputs_may_be_read_only_and_stay_as_they_are(loaded: LoadedModel, sample: Sample) -> None:
    wire = {name: tensor.decode(tensor.encode(name, array)) for name, array in sample.inputs.items()}
    assert not any(array.flags.writeable for array in wire.values() if array.dtype.kind != "O")
    answer = loaded.predict(wire, ())
    name = loaded.signature.outputs[0].name
    close(answer[name], sample.expected[name])


def test_rows_do_not_depend_on_the_batch_they_come_in(loaded: LoadedModel, sample: Sample) -> None:
    name = loaded.signature.outputs[0].name
    one = loaded.predict({key: array[3:4] for key, array in sample.inputs.items()}, ())[name]
    close(one, sample.expected[name][3:4])


def test_no_rows_are_refused_or_give_no_rows(loaded: LoadedModel, sample: Sample) -> None:
    empty = {key: array[:0] for key, array in sample.inputs.items()}
    try:
        answer: dict[str, Any] = loaded.predict(empty, ())
    except UnacceptableError:
        return
    assert [len(array) for array in answer.values()] == [0]


def test_a_size_is_known(loaded: LoadedModel) -> None:
    assert loaded.size_bytes > 0


def test_an_empty_bundle_cannot_be_loaded(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(UnacceptableError, match="cannot be served"):
        runtime.load(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model_cannot_be_loaded(
    runtime: Runtime, sample: Sample, tmp_path: Path, share: float
) -> None:
    path = tmp_path / sample.file
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UnacceptableError, match="cannot be served"):
        runtime.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not a model", b"PK\x03\x04" + b"\xff" * 200])
def test_what_is_no_model_cannot_be_loaded(
    runtime: Runtime, sample: Sample, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / sample.file).write_bytes(content)
    with pytest.raises(UnacceptableError, match="cannot be served"):
        runtime.load(tmp_path)
