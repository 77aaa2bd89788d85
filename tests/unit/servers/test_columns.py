"""Estimators that were fitted on tables take their columns by name."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, TensorSpec
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.sklearn import SklearnModel, SklearnRuntime

_CHANCE = np.random.default_rng(3)
TABLE = pd.DataFrame(
    {
        "age": _CHANCE.integers(18, 80, 60),
        "city": _CHANCE.choice(["Köln", "Paris", "Rom"], 60),
        "ignored": 1.0,
        "rooms": _CHANCE.integers(1, 4, 60),
        "smoker": _CHANCE.choice([True, False], 60),
        "note": _CHANCE.choice(["good day", "bad day"], 60),
    }
)
KINDS = np.where(TABLE["age"] > 50, "old", "young")
PICKER = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
        ("names", OneHotEncoder(), ["city", "smoker"]),
        ("order", OrdinalEncoder(), ["rooms"]),
        ("words", CountVectorizer(), "note"),
    ]
)
INPUTS = [("age", "FP64"), ("city", "BYTES"), ("rooms", "INT64"), ("smoker", "BOOL"), ("note", "BYTES")]


def load(folder: Path, estimator: Any, description: Any = None) -> SklearnModel:
    skops.io.dump(estimator, folder / "model.skops")
    if description is not None:
        (folder / "mlhub.json").write_text(json.dumps(description))
    return SklearnRuntime(RuntimeOptions(max_memory=2**30)).load(folder)


def tensors(*names: str) -> dict[str, Any]:
    """Take columns as they come from the wire."""
    arrays = {name: TABLE[name].to_numpy() for name in names or [name for name, _ in INPUTS]}
    return {
        name: array.astype(object) if array.dtype.kind not in "biuf" else array
        for name, array in arrays.items()
    }


def test_each_column_is_an_input_of_the_datatype_that_it_was_fitted_with(tmp_path: Path) -> None:
    estimator = make_pipeline(PICKER, LogisticRegression()).fit(TABLE, KINDS)
    model = load(tmp_path, estimator)
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.inputs] == [
        (name, kind, (ANY,)) for name, kind in INPUTS
    ]
    assert [spec.name for spec in model.signature.inputs if spec.allow_missing] == ["age"], "it is imputed"
    assert [spec.name for spec in model.signature.outputs] == ["predict", "predict_proba"]
    assert model.signature.outputs[1].shape == (ANY, 2), "it was tried on values that it knows"
    answer = model.predict(tensors(), ("predict", "predict_proba"))
    np.testing.assert_array_equal(answer["predict"], estimator.predict(TABLE))
    np.testing.assert_array_equal(answer["predict_proba"], estimator.predict_proba(TABLE))


def test_columns_may_be_picked_by_kind_and_deep_inside(tmp_path: Path) -> None:
    numbers = ColumnTransformer([("numbers", StandardScaler(), make_column_selector(dtype_include="number"))])
    search = GridSearchCV(
        make_pipeline(numbers, LogisticRegression()), {"logisticregression__C": [1.0]}, cv=2
    )
    search.fit(TABLE[["age", "rooms"]], KINDS)
    model = load(tmp_path, search.best_estimator_)
    assert [(spec.name, spec.datatype) for spec in model.signature.inputs] == [
        ("age", "FP64"),
        ("rooms", "FP64"),
    ]
    answer = model.predict(tensors("age", "rooms"), ())["predict"]
    np.testing.assert_array_equal(answer, search.predict(TABLE[["age", "rooms"]]))


def test_an_array_stays_an_array_where_columns_were_never_picked_by_name(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(TABLE[["age", "rooms"]], KINDS)
    model = load(tmp_path, estimator)
    assert model.signature.inputs == (TensorSpec("input", "FP64", (ANY, 2)),)


def test_a_bundle_may_ask_for_columns_by_name_where_an_array_would_do(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(TABLE[["age", "rooms"]], KINDS)
    inputs = [{"name": name, "datatype": "FP32", "shape": [-1]} for name in ("age", "rooms")]
    model = load(tmp_path, estimator, {"signature": {"inputs": inputs}})
    answer = model.predict({name: array.astype("f4") for name, array in tensors("age", "rooms").items()}, ())
    np.testing.assert_array_equal(answer["predict"], estimator.predict(TABLE[["age", "rooms"]]))


def test_a_signature_with_other_names_is_refused_with_those_of_the_table(tmp_path: Path) -> None:
    estimator = make_pipeline(PICKER, LogisticRegression()).fit(TABLE, KINDS)
    inputs = [{"name": "input", "datatype": "FP64", "shape": [-1, 6]}]
    with pytest.raises(UnacceptableError, match=r"the columns age, city, .*has to name these, not input"):
        load(tmp_path, estimator, {"signature": {"inputs": inputs}})


def test_values_that_the_model_never_saw_are_refused_as_its_own_words_have_it(tmp_path: Path) -> None:
    model = load(tmp_path, make_pipeline(PICKER, LogisticRegression()).fit(TABLE, KINDS))
    given = tensors()
    given["city"] = np.full(60, "Oslo", dtype=object)
    with pytest.raises(UnacceptableError, match="Oslo"):
        model.predict(given, ())


def test_without_pandas_the_operator_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = make_pipeline(PICKER, LogisticRegression()).fit(TABLE, KINDS)
    skops.io.dump(estimator, tmp_path / "model.skops")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UnacceptableError, match="pip install pandas"):
        SklearnRuntime(RuntimeOptions(max_memory=2**30)).load(tmp_path)
