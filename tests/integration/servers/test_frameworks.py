"""Models of every framework, trained here and now, answer through the hub as they do themselves."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

STEPS = 60
"""Enough to know most digits."""


class Trained(msgspec.Struct, frozen=True):
    """A model that knows digits."""

    type: str
    files: dict[str, bytes]
    """Its bundle."""
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """What the framework itself says."""


class Digits(msgspec.Struct, frozen=True):
    """Pictures, as numbers from 0 to 1."""

    seen: NDArray[np.float32]
    known: NDArray[np.int64]
    rows: NDArray[np.float32]
    """Those to predict, [100, 64]."""
    values: NDArray[np.int64]


@pytest.fixture(scope="module")
def pictures() -> Digits:
    pixels, values = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    return Digits(pixels[100:], values[100:], pixels[:100], values[:100])


@pytest.fixture(scope="module")
def torch_model(pictures: Digits) -> Any:
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(
            model(torch.from_numpy(pictures.seen)), torch.from_numpy(pictures.known)
        ).backward()
        optimizer.step()
    return model.eval()


def torch_answers(model: Any) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    import torch

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            answer: NDArray[np.float32] = model(torch.from_numpy(rows)).numpy()
            return answer

    return predict


@pytest.fixture(scope="module")
def exported(torch_model: Any) -> Trained:
    import torch

    program = torch.export.export(
        torch_model, (torch.zeros(2, 64),), dynamic_shapes={"input": {0: torch.export.Dim("rows")}}
    )
    file = io.BytesIO()
    torch.export.save(program, file)
    return Trained("PyTorch", {"model.pt2": file.getvalue()}, torch_answers(torch_model))


@pytest.fixture(scope="module")
def exported_for_one_row(torch_model: Any) -> Trained:
    import torch

    file = io.BytesIO()
    torch.export.save(torch.export.export(torch_model, (torch.zeros(1, 64),)), file)
    return Trained("PyTorch", {"model.pt2": file.getvalue()}, torch_answers(torch_model))


@pytest.fixture(scope="module")
def scripted(torch_model: Any) -> Trained:
    import torch

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(torch_model), file)
    signature = {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]}
    description = json.dumps({"signature": signature}).encode()
    files = {"model.pt": file.getvalue(), "mlhub.json": description}
    return Trained("PyTorch", files, torch_answers(torch_model))


@pytest.fixture(scope="module")
def layered(pictures: Digits, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from mlhub.servers.keras import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,), name="pixels"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    model.fit(pictures.seen, pictures.known, epochs=5, batch_size=64, verbose=0)
    path = tmp_path_factory.mktemp("keras") / "digits.keras"
    model.save(path)

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = keras.ops.convert_to_numpy(model(rows, training=False))
        return answer

    return Trained("Keras", {path.name: path.read_bytes()}, predict)


@pytest.fixture(scope="module")
def saved(pictures: Digits, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    import tensorflow as tf

    tf.random.set_seed(0)
    module = tf.Module()
    module.weights = tf.Variable(tf.zeros((64, 10)))
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            logits = tf.matmul(pictures.seen, module.weights)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=pictures.known, logits=logits)
            )
        module.weights.assign_sub(2.0 * tape.gradient(loss, module.weights))
    module.serve = tf.function(
        lambda pixels, note: {
            "digit": tf.nn.softmax(tf.matmul(pixels, module.weights)),
            "note": tf.strings.join(["read: ", note]),
        },
        input_signature=[
            tf.TensorSpec((None, 64), tf.float32, "pixels"),
            tf.TensorSpec((None,), tf.string, "note"),
        ],
        autograph=False,
    )
    folder = tmp_path_factory.mktemp("tensorflow") / "digits"
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = module.serve(rows, tf.constant([""] * len(rows)))["digit"].numpy()
        return answer

    return Trained("TensorFlow", files, predict)


def publish(hub: Any, name: str, trained: Trained, pack: Any) -> None:
    assert hub.create(name, type=trained.type).status_code == 201
    answer = hub.upload(name, pack(trained.files))
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("kind", ["exported", "exported_for_one_row", "scripted", "layered"])
def test_answers_through_the_hub_are_the_frameworks_own(
    frameworks_hub: Any, pictures: Digits, pack: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    trained = request.getfixturevalue(kind)
    publish(frameworks_hub, kind, trained, pack)
    expected = trained.predict(pictures.rows)
    assert (expected.argmax(1) == pictures.values).mean() > 0.8
    path = f"/model/{kind}/predict"
    answer = frameworks_hub.call("POST", path, json={"input": pictures.rows.tolist()})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["output"], expected, atol=1e-5)
    answer = frameworks_hub.call("POST", path, json={"input": pictures.rows[7].tolist()})
    np.testing.assert_allclose(answer.json()["output"], expected[7], atol=1e-5)


def test_several_inputs_and_text_go_through_the_hub(
    frameworks_hub: Any, pictures: Digits, pack: Any, saved: Trained
) -> None:
    publish(frameworks_hub, "saved", saved, pack)
    rows = pictures.rows[:20]
    notes = [f"Nummer {number}, ä" for number in range(len(rows))]
    inputs = [
        {"name": "pixels", "datatype": "FP32", "shape": [20, 64], "data": rows.ravel().tolist()},
        {"name": "note", "datatype": "BYTES", "shape": [20], "data": notes},
    ]
    outputs = [{"name": "digit"}, {"name": "note"}]
    answer = frameworks_hub.call("POST", "/model/saved/predict", json={"inputs": inputs, "outputs": outputs})
    assert answer.status_code == 200, answer.text
    found = {item["name"]: item for item in answer.json()["outputs"]}
    expected = saved.predict(rows)
    np.testing.assert_allclose(
        np.reshape(found["digit"]["data"], found["digit"]["shape"]), expected, atol=1e-5
    )
    assert found["note"]["data"] == [f"read: {note}" for note in notes]


def test_what_no_server_loads_fails_with_what_to_do(frameworks_hub: Any, torch_model: Any, pack: Any) -> None:
    import torch

    pickled, fixed = io.BytesIO(), io.BytesIO()
    torch.save(torch_model, pickled)
    torch.export.save(torch.export.export(torch_model, (torch.zeros(5, 64),)), fixed)
    frameworks_hub.create("refused", type="PyTorch")
    for files, words in (
        ({"model.pt": pickled.getvalue()}, "torch.export.save"),
        ({"model.pt2": fixed.getvalue()}, "save it with a first dimension of any extent"),
    ):
        answer = frameworks_hub.upload("refused", pack(files))
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["detail"]


def test_a_lambda_layer_fails_with_the_reason(frameworks_hub: Any, layered: Trained, pack: Any) -> None:
    ((name, content),) = layered.files.items()
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(changed, "w") as target:
        for entry in source.namelist():
            data = source.read(entry)
            if entry == "config.json":
                config = json.loads(data)
                config["config"]["layers"].append(
                    {"module": "keras.layers", "class_name": "Lambda", "config": {}}
                )
                data = json.dumps(config).encode()
            target.writestr(entry, data)
    frameworks_hub.create("lambda", type="Keras")
    answer = frameworks_hub.upload("lambda", pack({name: changed.getvalue()}))
    assert answer.status_code == 422
    assert "holds a Lambda, which is code of its own" in answer.json()["detail"]
