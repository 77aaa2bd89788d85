"""Missing values: an estimator that takes them says so in its signature, and gets what it was fitted with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlhub.common.errors import UnacceptableError
from mlhub.servers.columns import Column
from mlhub.servers.missing import is_taken, marked
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.sklearn import SklearnModel, SklearnRuntime

ROWS = np.random.default_rng(11).normal(size=(60, 3))
CLASSES = np.arange(60) % 2
GAPS = np.where(np.arange(180).reshape(60, 3) % 7 == 0, np.nan, ROWS)


def load(folder: Path, estimator: Any, description: Any = None) -> SklearnModel:
    skops.io.dump(estimator, folder / "model.skops")
    if description is not None:
        (folder / "mlhub.json").write_text(json.dumps(description))
    return SklearnRuntime(RuntimeOptions(max_memory=2**30)).load(folder)


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(max_iter=3),
        DecisionTreeClassifier(max_depth=2),
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
        make_pipeline(KNNImputer(), LogisticRegression()),
    ],
    ids=lambda estimator: type(estimator[0] if hasattr(estimator, "steps") else estimator).__name__,
)
def test_an_estimator_that_takes_missing_values_says_so(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(GAPS, CLASSES)
    model = load(tmp_path, estimator)
    assert [spec.allow_missing for spec in model.signature.inputs] == [True]
    answer = model.predict({"input": GAPS}, ("predict_proba",))["predict_proba"]
    np.testing.assert_array_equal(answer, estimator.predict_proba(GAPS))


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())],
    ids=["alone", "after a step that takes them"],
)
def test_one_that_refuses_them_does_not(tmp_path: Path, estimator: Any) -> None:
    model = load(tmp_path, estimator.fit(ROWS, CLASSES))
    assert [spec.allow_missing for spec in model.signature.inputs] == [False]


def test_a_prediction_that_is_nan_itself_is_none() -> None:
    row = np.array([[np.nan]])
    assert not is_taken(lambda given: given.sum(axis=1), row, predicts=True)
    assert is_taken(FunctionTransformer().transform, row, predicts=False)


@pytest.mark.parametrize("gap", [np.nan, None], ids=["NaN", "None"])
def test_each_column_of_a_table_says_it_for_itself(tmp_path: Path, gap: float | None) -> None:
    table = pd.DataFrame(
        {
            "age": [2.0, np.nan, 4, 6] * 5,
            "city": pd.Series(["a", "b", gap, "c"] * 5, dtype=object),
            "kind": pd.Series(["u", gap, "v", "u"] * 5, dtype=object),
            "sex": ["f", "m", "m", "f"] * 5,
            "income": [1.0, 2.0, 3.0, 4.0] * 5,
        }
    )
    imputer = SimpleImputer(strategy="most_frequent", missing_values=gap)
    picker = ColumnTransformer(
        [
            ("age", SimpleImputer(), ["age"]),
            ("city", OneHotEncoder(), ["city"]),
            ("kind", make_pipeline(imputer, OneHotEncoder()), ["kind"]),
            ("sex", OneHotEncoder(), ["sex"]),
            ("income", StandardScaler(), ["income"]),
        ]
    )
    estimator = make_pipeline(picker, LogisticRegression(max_iter=1000)).fit(table, ["x", "y", "z", "y"] * 5)
    model = load(tmp_path, estimator)
    taken = {spec.name: spec.allow_missing for spec in model.signature.inputs}
    assert taken == {"age": True, "city": True, "kind": True, "sex": False, "income": False}
    inputs = {
        name: np.array([None if pd.isna(value) else value for value in column], dtype=object)
        if column.dtype.kind != "f"
        else column.to_numpy()
        for name, column in table.items()
    }
    answer = model.predict(inputs, ("predict_proba",))["predict_proba"]
    np.testing.assert_array_equal(answer, estimator.predict_proba(table))


def test_few_trials_find_the_columns() -> None:
    columns = [Column(f"c{place}") for place in range(64)]
    tried = []

    def is_taken_in(some: Any) -> bool:
        names = {column.name for column in some}
        tried.append(names)
        return not names & {"c7", "c50"}

    found = marked([*columns, Column("whole", "INT64", 1)], is_taken_in)
    assert [column.name for column in found if not column.allow_missing] == ["c7", "c50", "whole"]
    assert len(tried) < 32


def test_what_a_bundle_declares_counts(tmp_path: Path) -> None:
    spec = {"name": "x", "datatype": "FP64", "shape": [-1, 3]}
    for declared in (True, False):
        estimator = HistGradientBoostingClassifier(max_iter=2).fit(ROWS, CLASSES)
        description = {"signature": {"inputs": [spec | {"allow_missing": declared}]}}
        model = load(tmp_path, estimator, description)
        assert [own.allow_missing for own in model.signature.inputs] == [declared]


def test_a_table_may_be_declared_to_take_missing_values(tmp_path: Path) -> None:
    table = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [-1], "allow_missing": name == "b"} for name in "abc"
    ]
    model = load(tmp_path, LinearRegression().fit(table, CLASSES), {"signature": {"inputs": inputs}})
    assert [spec.allow_missing for spec in model.signature.inputs] == [False, True, False]
    gaps = {"a": np.zeros(1), "b": np.full(1, np.nan), "c": np.zeros(1)}
    with pytest.raises(UnacceptableError, match="refuses this input"):
        model.predict(gaps, ())
