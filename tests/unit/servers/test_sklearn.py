"""scikit-learn's many kinds of estimators, as the protocol sees them."""

import json
import math
import operator
import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse
import skops.io
from sklearn.cluster import DBSCAN, KMeans
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, TensorSpec
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.sklearn import SklearnModel, SklearnRuntime, footprint

ROWS = np.random.default_rng(7).normal(size=(60, 4))
CLASSES = np.arange(60) % 3
TEXTS = ["good day", "bad night", "good night", "bad day"]
OPTIONS = RuntimeOptions(max_memory=2**30)


def load(folder: Path, estimator: Any, description: Any = None) -> SklearnModel:
    """Save an estimator as a pickle, which takes every kind, and load it as a server would."""
    joblib.dump(estimator, folder / "model.joblib")
    if description is not None:
        (folder / "mlhub.json").write_text(json.dumps(description))
    return SklearnRuntime(RuntimeOptions(max_memory=2**30, allow_pickles=True)).load(folder)


def outputs(model: SklearnModel) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(spec.name, spec.datatype, spec.shape) for spec in model.signature.outputs]


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [
        (CLASSES, "INT64"),
        (CLASSES.astype("i2"), "INT16"),
        (CLASSES.astype(float), "FP64"),
        (CLASSES == 1, "BOOL"),
        (np.array(["a", "b", "c"])[CLASSES], "BYTES"),
        (np.array(["a", "b", "c"], dtype=object)[CLASSES], "BYTES"),
    ],
)
def test_a_classifier_answers_in_the_datatype_of_its_classes(
    tmp_path: Path, classes: Any, datatype: str
) -> None:
    estimator = LogisticRegression().fit(ROWS, classes)
    model = load(tmp_path, estimator)
    count = len(estimator.classes_)
    assert outputs(model) == [("predict", datatype, (ANY,)), ("predict_proba", "FP64", (ANY, count))]
    answer = model.predict({"input": ROWS}, ())["predict"]
    np.testing.assert_array_equal(answer, estimator.predict(ROWS))


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (LinearRegression().fit(ROWS, CLASSES), [("predict", "FP64", (ANY,))]),
        (LinearRegression().fit(ROWS, ROWS[:, :2]), [("predict", "FP64", (ANY, 2))]),
        (DecisionTreeRegressor(random_state=1).fit(ROWS, CLASSES), [("predict", "FP64", (ANY,))]),
        (HistGradientBoostingRegressor(max_iter=3).fit(ROWS, CLASSES), [("predict", "FP64", (ANY,))]),
        (SVC().fit(ROWS, CLASSES), [("predict", "INT64", (ANY,))]),
        (KMeans(3, n_init=1, random_state=1).fit(ROWS), [("predict", "INT32", (ANY,))]),
        (StandardScaler().fit(ROWS), [("transform", "FP64", (ANY, 4))]),
        (
            MultiOutputClassifier(LogisticRegression()).fit(ROWS, np.stack([CLASSES, CLASSES == 1], axis=1)),
            [("predict", "INT64", (ANY, 2))],
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_outputs_are_declared_as_they_come(tmp_path: Path, estimator: Any, expected: Any) -> None:
    model = load(tmp_path, estimator)
    assert outputs(model) == expected
    (taken,) = model.signature.inputs
    assert (taken.name, taken.datatype, taken.shape) == ("input", "FP64", (ANY, 4))
    name = expected[0][0]
    answer = model.predict({"input": ROWS}, ())[name]
    np.testing.assert_array_equal(answer, getattr(estimator, name)(ROWS), strict=True)


def test_a_transformer_with_sparse_output_gives_a_dense_one(tmp_path: Path) -> None:
    codes = (ROWS > 0).astype(float)
    estimator = OneHotEncoder(handle_unknown="ignore").fit(codes)
    expected = estimator.transform(codes)
    assert scipy.sparse.issparse(expected)
    model = load(tmp_path, estimator)
    assert outputs(model) == [("transform", "FP64", (ANY, 8))]
    np.testing.assert_array_equal(model.predict({"input": codes}, ())["transform"], expected.toarray())


@pytest.mark.parametrize("first", [TfidfVectorizer(), HashingVectorizer(n_features=64, alternate_sign=False)])
def test_a_text_pipeline_takes_text(tmp_path: Path, first: Any) -> None:
    estimator = make_pipeline(first, MultinomialNB()).fit(TEXTS, ["up", "down", "up", "down"])
    model = load(tmp_path, estimator)
    assert model.signature.inputs == (TensorSpec("input", "BYTES", (ANY,)),)
    assert outputs(model) == [("predict", "BYTES", (ANY,)), ("predict_proba", "FP64", (ANY, 2))]
    for elements in (TEXTS, [text.encode() for text in TEXTS]):
        answer = model.predict({"input": np.array(elements, dtype=object)}, ("predict", "predict_proba"))
        np.testing.assert_array_equal(answer["predict"], estimator.predict(TEXTS))
        np.testing.assert_array_equal(answer["predict_proba"], estimator.predict_proba(TEXTS))
    with pytest.raises(UnacceptableError, match="refuses this input"):
        model.predict({"input": np.array([b"\xff\xfe"], dtype=object)}, ())


def test_a_bundle_may_declare_another_signature(tmp_path: Path) -> None:
    words = np.array([["red", "s"], ["blue", "m"], ["red", "l"]], dtype=object)
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()).fit(words, [1.0, 2.0, 3.0])
    declared = {
        "inputs": [{"name": "words", "datatype": "BYTES", "shape": [-1, 2]}],
        "outputs": [{"name": "predict", "datatype": "FP32", "shape": [-1]}],
    }
    model = load(tmp_path, estimator, {"signature": declared})
    assert model.signature.inputs == (TensorSpec("words", "BYTES", (ANY, 2)),)
    answer = model.predict({"words": words}, ())["predict"]
    np.testing.assert_array_equal(answer, estimator.predict(words).astype("f4"), strict=True)


@pytest.mark.parametrize(
    ("declared", "flaw"),
    [
        (
            {"inputs": [{"name": name, "datatype": "FP64", "shape": [-1]} for name in "ab"]},
            "takes one input, but its signature names 2",
        ),
        (
            {
                "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 4]}],
                "outputs": [{"name": "embed", "datatype": "FP64", "shape": [-1]}],
            },
            "has no output 'embed'; it has predict, predict_proba",
        ),
    ],
)
def test_a_declaration_that_the_model_cannot_keep_is_refused(
    tmp_path: Path, declared: Any, flaw: str
) -> None:
    with pytest.raises(UnacceptableError, match=flaw):
        load(tmp_path, LogisticRegression().fit(ROWS, CLASSES), {"signature": declared})


def test_an_output_that_does_not_fit_its_declaration_is_refused(tmp_path: Path) -> None:
    declared = {
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}],
        "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1]}],
    }
    model = load(tmp_path, LinearRegression().fit(ROWS, CLASSES), {"signature": declared})
    with pytest.raises(UnacceptableError, match="Cannot cast"):
        model.predict({"input": ROWS}, ())


@pytest.mark.parametrize(
    ("estimator", "flaw"),
    [
        (LogisticRegression(), "was not fitted"),
        (DBSCAN().fit(ROWS), "can neither predict nor transform"),
        ({"a": 1}, "can neither predict nor transform"),
        (np.zeros(3), "can neither predict nor transform"),
    ],
    ids=["unfitted", "no predict", "dict", "array"],
)
def test_what_cannot_predict_is_refused(tmp_path: Path, estimator: Any, flaw: str) -> None:
    with pytest.raises(UnacceptableError, match=flaw):
        load(tmp_path, estimator)


def test_what_the_estimator_refuses_is_the_clients_error(tmp_path: Path) -> None:
    model = load(tmp_path, LogisticRegression().fit(ROWS, CLASSES))
    with pytest.raises(UnacceptableError, match=r"refuses this input: Input X contains NaN\.$"):
        model.predict({"input": np.full((1, 4), math.nan)}, ())


def test_missing_values_are_for_the_estimator_to_judge(tmp_path: Path) -> None:
    estimator = HistGradientBoostingRegressor(max_iter=3).fit(ROWS, CLASSES)
    row = np.full((1, 4), math.nan)
    answer = load(tmp_path, estimator).predict({"input": row}, ())["predict"]
    np.testing.assert_array_equal(answer, estimator.predict(row))


def test_an_estimator_that_works_in_place_leaves_the_input_alone(tmp_path: Path) -> None:
    estimator = StandardScaler(copy=False).fit(ROWS.copy())
    given = ROWS.copy()
    given.flags.writeable = False
    answer = load(tmp_path, estimator).predict({"input": given}, ())["transform"]
    np.testing.assert_array_equal(answer, estimator.transform(ROWS.copy()))


def test_of_unknown_width_any_width_is_declared(tmp_path: Path) -> None:
    model = load(tmp_path, FunctionTransformer())
    assert model.signature.inputs == (TensorSpec("input", "FP64", (ANY, ANY), allow_missing=True),)
    assert outputs(model) == [("transform", "FP64", (ANY, ANY))]


def test_column_names_of_the_training_data_cost_no_warning(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(ROWS, CLASSES)
    estimator.feature_names_in_ = np.array(list("abcd"), dtype=object)
    model = load(tmp_path, estimator)
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        model.predict({"input": ROWS}, ())
    assert caught == []


def test_a_model_computes_in_one_thread_whatever_it_was_saved_with(tmp_path: Path) -> None:
    forest = RandomForestClassifier(10, n_jobs=-1, random_state=1).fit(ROWS, CLASSES)
    estimator = make_pipeline(StandardScaler(), forest).fit(ROWS, CLASSES)
    model = load(tmp_path, estimator)
    forest.n_jobs = 1
    expected = estimator.predict_proba(ROWS)
    answer = model.predict({"input": ROWS}, ("predict_proba",))["predict_proba"]
    np.testing.assert_array_equal(answer, expected, strict=True)


def test_a_skops_file_with_untrusted_types_is_refused_with_their_names(tmp_path: Path) -> None:
    skops.io.dump(FunctionTransformer(operator.neg), tmp_path / "model.skops")
    with pytest.raises(UnacceptableError, match=r"not trusted: .*neg"):
        SklearnRuntime(OPTIONS).load(tmp_path)


def test_an_administrator_may_trust_more_types(tmp_path: Path) -> None:
    skops.io.dump(FunctionTransformer(operator.neg), tmp_path / "model.skops")
    trusted = tuple(skops.io.get_untrusted_types(file=tmp_path / "model.skops"))
    model = SklearnRuntime(RuntimeOptions(max_memory=2**30, trusted=trusted)).load(tmp_path)
    np.testing.assert_array_equal(model.predict({"input": ROWS}, ())["transform"], -ROWS)


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("suffix", ["joblib", "pkl"])
def test_pickles_are_not_even_opened_unless_allowed(tmp_path: Path, suffix: str) -> None:
    trap = pickle.dumps(Trap(f"touch {tmp_path}/sprung"))
    (tmp_path / f"model.{suffix}").write_bytes(trap)
    with pytest.raises(UnacceptableError, match=r"is a pickle.*only \*\.skops"):
        SklearnRuntime(OPTIONS).load(tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", ["joblib", "pkl"])
def test_pickles_are_loaded_where_allowed(tmp_path: Path, suffix: str) -> None:
    estimator = LogisticRegression().fit(ROWS, CLASSES)
    (tmp_path / f"model.{suffix}").write_bytes(pickle.dumps(estimator))
    model = SklearnRuntime(RuntimeOptions(max_memory=2**30, allow_pickles=True)).load(tmp_path)
    np.testing.assert_array_equal(model.predict({"input": ROWS}, ())["predict"], estimator.predict(ROWS))


@pytest.mark.parametrize("content", [b"", b"cposix\nnothing\n.", b"\x80\x05K\x01", b"cnowhere\nthing\n."])
def test_a_broken_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pkl").write_bytes(content)
    with pytest.raises(UnacceptableError, match=r"model\.pkl cannot be loaded"):
        SklearnRuntime(RuntimeOptions(max_memory=2**30, allow_pickles=True)).load(tmp_path)


def test_several_models_in_one_bundle_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        skops.io.dump(LinearRegression().fit(ROWS, CLASSES), tmp_path / f"{name}.skops")
    with pytest.raises(UnacceptableError, match=r"several models: a\.skops, b\.skops"):
        SklearnRuntime(OPTIONS).load(tmp_path)


def test_a_file_that_unpacks_to_more_than_the_memory_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"\x00" * 2_000_000)
    assert (tmp_path / "model.skops").stat().st_size < 10_000
    with pytest.raises(UnacceptableError, match="unpacks to 2000000 bytes"):
        SklearnRuntime(RuntimeOptions(max_memory=1_000_000)).load(tmp_path)


def test_the_footprint_is_that_of_the_arrays_not_of_the_file(tmp_path: Path) -> None:
    estimator = KNeighborsClassifier(algorithm="brute").fit(np.zeros((1000, 100)), np.zeros(1000))
    joblib.dump(estimator, tmp_path / "model.joblib", compress=9)
    size = (tmp_path / "model.joblib").stat().st_size
    assert size < 100_000
    assert 800_000 < footprint(estimator, size) < 900_000


def test_a_model_that_cannot_be_pickled_counts_with_its_file() -> None:
    assert footprint(FunctionTransformer(lambda rows: rows), 1234) == 1234
