"""Models that were fitted on tables: from the estimator to answers, by every way a table comes."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skops.io import dumps
from typer.testing import CliRunner

from mlhub.__main__ import app
from mlhub.client import Client

_CHANCE = np.random.default_rng(5)
TABLE = pd.DataFrame(
    {
        "age": _CHANCE.integers(18, 80, 80),
        "income": _CHANCE.normal(5e4, 1e4, 80),
        "city": ["Köln", "Rom"] * 40,
    }
)
KINDS = np.where(TABLE["age"] > 50, "old", "young")


def fitted(table: pd.DataFrame) -> Any:
    numbers = ("numbers", StandardScaler(), ["age", "income"])
    words = ("words", OneHotEncoder(), ["city"])
    picker = ColumnTransformer([numbers, words] if "city" in table else [numbers])
    return make_pipeline(picker, LogisticRegression()).fit(table, KINDS)


@pytest.fixture(scope="module")
def mixed(hub: Any, pack: Any) -> tuple[str, list[str]]:
    """A model of numbers and words, and what it says of the table."""
    estimator = fitted(TABLE)
    hub.publish("mixed-table", pack({"model.skops": dumps(estimator)}))
    return "mixed-table", estimator.predict(TABLE).tolist()


@pytest.fixture(scope="module")
def numeric(hub: Any, pack: Any) -> tuple[str, list[str]]:
    """The same of numbers alone."""
    estimator = fitted(TABLE[["age", "income"]])
    hub.publish("numeric-table", pack({"model.skops": dumps(estimator)}))
    return "numeric-table", estimator.predict(TABLE[["age", "income"]]).tolist()


def test_columns_are_inputs_with_their_names(hub: Any, mixed: tuple[str, list[str]]) -> None:
    name, expected = mixed
    (version,) = hub.call("GET", f"/model/{name}").json()["versions"]
    assert version["signature"]["inputs"] == [
        {"name": "age", "datatype": "FP64", "shape": [-1]},
        {"name": "income", "datatype": "FP64", "shape": [-1]},
        {"name": "city", "datatype": "BYTES", "shape": [-1]},
    ]
    rows = TABLE.to_dict("records")
    answer = hub.call("POST", f"/model/{name}/predict", json={"input": rows})
    assert answer.json()["output"] == expected
    answer = hub.call("POST", f"/model/{name}/predict", json={"input": rows[0]})
    assert answer.json()["output"] == expected[0]
    answer = hub.call("POST", f"/model/{name}/predict", json={"input": [70, 1.0, "Rom"]})
    assert answer.status_code == 422
    assert "(age, income, city); name them" in answer.json()["detail"]


def test_a_data_frame_is_predicted_as_it_is(
    hub: Any, mixed: tuple[str, list[str]], numeric: tuple[str, list[str]]
) -> None:
    with Client(hub.url) as client:
        for name, expected in (mixed, numeric):
            assert (
                client.predict(name, TABLE if name == mixed[0] else TABLE[["income", "age"]]).tolist()
                == expected
            )
        assert client.submit(mixed[0], TABLE).result(timeout=60).tolist() == mixed[1]
        assert client.predict(mixed[0], TABLE.to_dict("records")[0]).tolist() == mixed[1][0]


def test_files_of_a_table_are_predicted_by_their_heading(
    hub: Any, mixed: tuple[str, list[str]], tmp_path: Path
) -> None:
    name, expected = mixed
    path = tmp_path / "rows.csv"
    TABLE.to_csv(path)
    with Client(hub.url) as client:
        target = client.predict_file(name, path, tmp_path / "out.ndjson")
    assert [json.loads(line) for line in target.read_text().splitlines()] == expected
    said = CliRunner().invoke(app, ["predict", name, "--file", str(path), "--url", hub.url])
    assert said.output.split() == [f'"{kind}"' for kind in expected]
    one = json.dumps(TABLE.to_dict("records")[0])
    said = CliRunner().invoke(app, ["predict", name, one, "--give", "predict", "--url", hub.url])
    assert said.output == f'"{expected[0]}"\n', "texts come as texts"


def test_a_file_without_a_column_is_refused_before_it_is_sent_whole(
    hub: Any, mixed: tuple[str, list[str]]
) -> None:
    content = io.StringIO()
    TABLE[["age", "city"]].to_csv(content, index=False)
    headers = {"Content-Type": "text/csv", "Prefer": "respond-async"}
    answer = hub.call("POST", f"/model/{mixed[0]}/predict", data=content.getvalue().encode(), headers=headers)
    assert answer.status_code == 422
    assert "no column 'income'" in answer.json()["detail"]
