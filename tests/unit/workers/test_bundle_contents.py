"""What a bundle must hold: the model's files by type, and `mlhub.json`."""

import json
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import bson
import msgspec
import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from mlhub.common.errors import UnacceptableError
from mlhub.common.image import ImageSpec
from mlhub.common.model import ModelType
from mlhub.common.signature import Signature, TensorSpec
from mlhub.workers.bundle.contents import BundleContents, inspect
from mlhub.workers.bundle.description import BundleDescription


def zip_with(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")


def add(folder: Path, name: str) -> None:
    """Add a file or folder of a model, as its framework's tools lay it out."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    insides = {".skops": "schema.json", ".keras": "config.json", ".pt2": "model/archive_format"}
    if name.endswith("/"):
        path.mkdir(parents=True, exist_ok=True)
    elif path.suffix in insides:
        zip_with(path, "other", insides[path.suffix])
    elif path.suffix == ".pt":
        zip_with(path, "model/data.pkl", "model/constants.pkl", "model/code/__torch__.py")
    else:
        path.write_bytes(b"x")


def look(folder: Path, model_type: ModelType = ModelType.SKLEARN, *, pickles: bool = False) -> BundleContents:
    return inspect(folder, model_type, allow_pickles=pickles)


def refusal(folder: Path, model_type: ModelType = ModelType.SKLEARN, *, pickles: bool = False) -> str:
    with pytest.raises(UnacceptableError) as caught:
        look(folder, model_type, pickles=pickles)
    assert str(folder) not in caught.value.detail
    assert caught.value.detail.endswith(".")
    return caught.value.detail


GOOD = {
    ModelType.TENSORFLOW: ["saved_model.pb", "variables/", "assets/", "params.json", "labels.txt"],
    ModelType.PYTORCH: ["model.pt2"],
    ModelType.KERAS: ["any name.keras"],
    ModelType.SKLEARN: ["model.skops"],
}


@pytest.mark.parametrize("place", ["", "m/"])
@pytest.mark.parametrize("model_type", ModelType)
def test_the_files_of_each_type_are_found_at_the_top_and_in_one_folder(
    model_type: ModelType, place: str, tmp_path: Path
) -> None:
    for name in GOOD[model_type]:
        add(tmp_path, place + name)
    assert look(tmp_path, model_type).root == tmp_path / place


@pytest.mark.parametrize("model_type", ModelType)
def test_a_model_of_another_framework_is_named(model_type: ModelType, tmp_path: Path) -> None:
    other = next(other for other in ModelType if other is not model_type)
    for name in GOOD[other]:
        add(tmp_path, name)
    detail = refusal(tmp_path, model_type)
    assert f"{GOOD[other][0]}, which is a {other} model; the entry's type is {model_type}" in detail


def test_torchscript_is_taken_and_a_pickled_module_is_not(tmp_path: Path) -> None:
    add(tmp_path, "model.pt")
    look(tmp_path, ModelType.PYTORCH)
    zip_with(tmp_path / "model.pt", "model/data.pkl", "model/version")
    assert "what torch.save writes is a pickle" in refusal(tmp_path, ModelType.PYTORCH)
    (tmp_path / "model.pt").write_bytes(pickle.dumps([1]))
    assert "torch.jit.save" in refusal(tmp_path, ModelType.PYTORCH)


def test_a_real_skops_file_is_taken(tmp_path: Path) -> None:
    model = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    skops.io.dump(model, tmp_path / "model.skops")
    look(tmp_path)


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl"])
def test_a_pickle_is_taken_only_where_it_is_allowed(name: str, tmp_path: Path) -> None:
    add(tmp_path, name)
    look(tmp_path, pickles=True)
    detail = refusal(tmp_path)
    assert f"{name}, a pickle" in detail
    assert "skops.io.dump" in detail


def test_allowing_pickles_allows_them_for_scikit_learn_only(tmp_path: Path) -> None:
    add(tmp_path, "model.pkl")
    for model_type in set(ModelType) - {ModelType.SKLEARN}:
        refusal(tmp_path, model_type, pickles=True)


def test_two_models_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "a.skops")
    add(tmp_path, "b.skops")
    assert "a.skops and b.skops" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"not a zip"])
def test_a_file_that_is_not_what_its_name_says_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(content)
    assert "model.skops is not what its name says" in refusal(tmp_path)


def test_a_saved_model_without_its_variables_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "saved_model.pb")
    assert "without its folder 'variables'" in refusal(tmp_path, ModelType.TENSORFLOW)


@pytest.mark.parametrize(
    ("model_type", "name", "advice"),
    [
        (ModelType.KERAS, "model.h5", "model.keras"),
        (ModelType.PYTORCH, "model.pth", "torch.export.save"),
        (ModelType.TENSORFLOW, "frozen.pb", "tf.saved_model.save"),
        (ModelType.SKLEARN, "model.pickle", "skops.io.dump"),
    ],
)
def test_a_form_that_is_not_served_comes_with_advice(
    model_type: ModelType, name: str, advice: str, tmp_path: Path
) -> None:
    add(tmp_path, name)
    detail = refusal(tmp_path, model_type)
    assert name in detail
    assert advice in detail


def test_without_a_model_the_sentence_says_what_is_there(tmp_path: Path) -> None:
    assert "it is empty" in refusal(tmp_path)
    for name in ("a/", "b.txt", "c", "d", "e", "f"):
        add(tmp_path, name)
    assert "it holds a/, b.txt, c, d, e, …" in refusal(tmp_path)


def test_a_model_two_folders_down_is_not_found(tmp_path: Path) -> None:
    add(tmp_path, "a/b/model.skops")
    assert "it holds b/" in refusal(tmp_path)


def test_what_macos_adds_is_not_looked_at(tmp_path: Path) -> None:
    for name in ("m/model.skops", "m/.DS_Store", "__MACOSX/m/._model.skops", "._m"):
        add(tmp_path, name)
    (tmp_path / "m" / "._model.skops").write_bytes(b"x")
    assert look(tmp_path).root == tmp_path / "m"


def test_a_folder_that_is_named_like_a_model_is_none(tmp_path: Path) -> None:
    add(tmp_path, "model.skops/x")
    add(tmp_path, "readme")
    refusal(tmp_path)


# mlhub.json


def described(folder: Path, content: Any) -> BundleDescription:
    add(folder, "model.skops")
    (folder / "mlhub.json").write_bytes(
        content if isinstance(content, bytes) else json.dumps(content).encode()
    )
    return look(folder).description


def test_a_description_is_read(tmp_path: Path) -> None:
    spec = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
    text = {
        "input_example": [[1, 2.5, 3, 4]],
        "labels": ["setosa", "versicolor"],
        "signature": {"inputs": [spec], "outputs": [{**spec, "name": "y"}]},
        "image": {"size": [28, 28], "channels": 1, "scale": 255},
    }
    assert described(tmp_path, text) == BundleDescription(
        input_example=[[1, 2.5, 3, 4]],
        labels=("setosa", "versicolor"),
        signature=Signature((TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1, 4)),)),
        image=ImageSpec((28, 28), 1, 255),
    )


def test_what_a_description_leaves_out_stands_in_the_files_of_tfaas(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text('{"name": "m", "labels": "names.txt", "img_channels": 3}')
    (tmp_path / "names.txt").write_text("cat\ndog\n\n")
    assert described(tmp_path, {}) == BundleDescription(labels=("cat", "dog"), image=ImageSpec(channels=3))
    own = {"labels": ["a", "b"], "image": {"channels": 1}}
    assert described(tmp_path, own) == BundleDescription(labels=("a", "b"), image=ImageSpec(channels=1))


def test_labels_alone_are_read_and_never_from_outside_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("root")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "params.json").write_text('{"labels": "../secret.txt", "img_channels": true}')
    assert described(folder, {}) == BundleDescription()
    (folder / "params.json").unlink()
    (folder / "labels.txt").write_text("cat\r\ndog")
    assert described(folder, {}).labels == ("cat", "dog")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"img_channels": [2]}'])
def test_another_file_of_that_name_says_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_bytes(content)
    assert described(tmp_path, {}) == BundleDescription()


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xff")
    with pytest.raises(UnacceptableError, match=r"labels\.txt is not UTF-8"):
        described(tmp_path, {})


SPEC = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "wrong"),
        (b"\xff\xfe", "wrong"),
        (b"[]", "Expected 'object'"),
        (b"null", "Expected 'object'"),
        (b'{"input_example": NaN}', "wrong"),
        (b'{"input_example": 1e400}', "out of range"),
        (b'{"input_example": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        ({"label": []}, "label"),
        ({"labels": "ab"}, "$.labels"),
        ({"labels": [1]}, "$.labels[0]"),
        ({"labels": [""]}, "$.labels[0]"),
        (b'{"labels": ["\\ud800"]}', "wrong"),
        ({"signature": {}}, "inputs"),
        ({"signature": {"inputs": []}}, "$.signature.inputs"),
        ({"signature": {"inputs": [SPEC], "ouputs": []}}, "ouputs"),
        ({"signature": {"inputs": [{**SPEC, "dtype": "FP32"}]}}, "dtype"),
        ({"signature": {"inputs": [{**SPEC, "datatype": "float32"}]}}, "use one of BOOL"),
        ({"signature": {"inputs": [{**SPEC, "shape": []}]}}, "shape"),
        ({"signature": {"inputs": [{**SPEC, "shape": [-2]}]}}, "shape"),
        ({"signature": {"inputs": [{**SPEC, "shape": [-1, 0]}]}}, "without elements"),
        ({"signature": {"inputs": [{**SPEC, "shape": [1.5]}]}}, "shape"),
        ({"signature": {"inputs": [{**SPEC, "shape": [2**70]}]}}, "shape"),
        ({"signature": {"inputs": [{**SPEC, "name": ""}]}}, "name"),
        ({"signature": {"inputs": [SPEC, SPEC]}}, "two tensors named 'x'"),
        ({"signature": {"inputs": [SPEC], "outputs": [SPEC, SPEC]}}, "two tensors named 'x'"),
        ({"signature": {"inputs": [{**SPEC, "allow_missing": 1}]}}, "allow_missing"),
        (
            {"signature": {"inputs": [{**SPEC, "datatype": "INT8", "allow_missing": True}]}},
            "which INT8 cannot be; FP16, FP32, FP64, BYTES can",
        ),
        (
            {"signature": {"inputs": [SPEC], "outputs": [{**SPEC, "allow_missing": True}]}},
            "'allow_missing' is about inputs",
        ),
        ({"image": []}, "$.image"),
        ({"image": {"size": [28]}}, "$.image.size"),
        ({"image": {"size": [0, 28]}}, "$.image.size"),
        ({"image": {"size": [28, 28], "channels": 2}}, "$.image.channels"),
        ({"image": {"size": [28, 28], "scale": 0}}, "$.image.scale"),
        ({"image": {"size": [28, 28], "median": 0}}, "median"),
        ({"image": {"std": [1, 0, 1]}}, "$.image.std"),
        (b" " * (16 * 1024 * 1024 + 1), "bytes"),
    ],
)
def test_a_description_that_is_wrong_is_refused(content: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(UnacceptableError) as caught:
        described(tmp_path, content)
    assert caught.value.code == "bad_description"
    assert caught.value.detail.startswith("The bundle's mlhub.json is wrong: ")
    assert says in caught.value.detail
    assert "`" not in caught.value.detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "input_example",
                    "labels",
                    "signature",
                    "image",
                    "inputs",
                    "outputs",
                    "name",
                    "datatype",
                    "shape",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(content=st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60)))
def test_whatever_a_description_holds_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        try:
            found = described(Path(name), content)
        except UnacceptableError:
            return
    # What is kept must be fit for the queue and for the database.
    msgspec.json.encode(found)
    bson.encode({"labels": list(found.labels), "signature": msgspec.to_builtins(found.signature)})
