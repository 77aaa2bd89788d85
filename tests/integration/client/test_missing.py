"""Missing values: by every way in, to models that take them and to one that does not."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skops.io import dumps
from typer.testing import CliRunner

from mlhub.__main__ import app
from mlhub.client import Client, HubError
from mlhub.common import oip, tensor

_CHANCE = np.random.default_rng(8)
ROWS = _CHANCE.normal(size=(40, 3)).round(3)
CLASSES = (ROWS[:, 0] > 0).astype(int)
ROWS[_CHANCE.random(ROWS.shape) < 0.2] = np.nan
TABLE = pd.DataFrame({"age": ROWS[:, 0], "city": _CHANCE.choice(["Köln", "Rom", np.nan], 40)})
TABLE["city"] = TABLE["city"].where(TABLE["city"] != "nan")
NPY = "application/x-npy"


@pytest.fixture(scope="module")
def boosted(hub: Any, pack: Any) -> tuple[str, list[int]]:
    """A model that takes an array, and what it says of the rows."""
    estimator = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=2).fit(ROWS, CLASSES)
    hub.publish("boosted", pack({"model.skops": dumps(estimator)}))
    return "boosted", estimator.predict(ROWS).tolist()


@pytest.fixture(scope="module")
def imputed(hub: Any, pack: Any) -> tuple[str, list[int]]:
    """A model that takes a table."""
    picker = ColumnTransformer(
        [("age", SimpleImputer(), ["age"]), ("city", OneHotEncoder(sparse_output=False), ["city"])]
    )
    estimator = make_pipeline(picker, LogisticRegression()).fit(TABLE, CLASSES)
    hub.publish("imputed", pack({"model.skops": dumps(estimator)}))
    return "imputed", estimator.predict(TABLE).tolist()


def nulls(rows: Any) -> Any:
    """Lists with `None` where something is missing."""
    return [[None if pd.isna(value) else value for value in row] for row in rows.tolist()]


def saved(rows: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, rows)
    return file.getvalue()


def test_every_form_of_a_body_may_lack_values(hub: Any, boosted: tuple[str, list[int]]) -> None:
    name, expected = boosted
    (version,) = hub.call("GET", f"/model/{name}").json()["versions"]
    assert version["signature"]["inputs"] == [
        {"name": "input", "datatype": "FP64", "shape": [-1, 3], "allow_missing": True}
    ]
    path = f"/model/{name}/predict"
    for body in (
        {"json": {"input": nulls(ROWS)}},
        {"json": {"inputs": {"input": nulls(ROWS)}}},
        {"json": {"values": nulls(ROWS)}},
        {"data": saved(ROWS), "headers": {"Content-Type": NPY}},
        {"data": saved(ROWS.astype("f4")), "headers": {"Content-Type": NPY}},
        {"files": {"input": ("rows.json", json.dumps(nulls(ROWS)))}},
    ):
        answer = hub.call("POST", path, **body)
        assert answer.json()["output"] == expected, answer.text
    given = [tensor.encode("input", ROWS)]
    for binary in (False, True):
        content, length = oip.encode_request(given, binary=binary)
        headers = {} if length is None else {oip.HEADER_LENGTH: str(length)}
        answer = hub.call("POST", f"/v2/models/{name}/infer", data=content, headers=headers)
        (output,) = oip.decode_response(
            answer.content, int(answer.headers[oip.HEADER_LENGTH]) if binary else None
        )
        assert tensor.decode(output).tolist() == expected
    assert hub.call("POST", path, json={"input": [None] * 3}).ok


def test_rows_with_and_without_share_batches(hub: Any, boosted: tuple[str, list[int]]) -> None:
    name, expected = boosted
    bodies = [json.dumps({"input": row}) for row in nulls(ROWS)]

    def ask(place: int) -> int:
        headers = {"Content-Type": "application/json"}
        place %= len(bodies)
        answer = hub.call("POST", f"/model/{name}/predict", data=bodies[place], headers=headers)
        return int(answer.json()["output"])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(120))) == expected * 3


@pytest.mark.parametrize("kind", ["csv", "ndjson", "npy"])
def test_files_may_lack_values(hub: Any, boosted: tuple[str, list[int]], tmp_path: Path, kind: str) -> None:
    name, expected = boosted
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        pd.DataFrame(ROWS, columns=list("abc")).to_csv(path, index=False)
    elif kind == "ndjson":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in nulls(ROWS)))
    else:
        np.save(path, ROWS)
    with Client(hub.url) as client:
        target = client.predict_file(name, path, tmp_path / "out.npy")
    assert np.load(target).tolist() == expected
    if kind != "ndjson":
        said = CliRunner().invoke(app, ["predict", name, "--file", str(path), "--url", hub.url])
        assert said.output.split() == [str(one) for one in expected]


def test_tables_may_lack_values(hub: Any, imputed: tuple[str, list[int]], tmp_path: Path) -> None:
    name, expected = imputed
    (version,) = hub.call("GET", f"/model/{name}").json()["versions"]
    assert [spec.get("allow_missing") for spec in version["signature"]["inputs"]] == [True, True]
    records = [dict(zip(TABLE.columns, row, strict=True)) for row in nulls(TABLE.to_numpy())]
    assert hub.call("POST", f"/model/{name}/predict", json={"input": records}).json()["output"] == expected
    path = tmp_path / "rows.csv"
    TABLE.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
    with Client(hub.url) as client:
        assert client.predict(name, TABLE).tolist() == expected
        assert client.submit(name, TABLE).result(timeout=60).tolist() == expected
        inputs = {"age": TABLE["age"].to_numpy(), "city": TABLE["city"].to_numpy()}
        assert client.infer(name, inputs)["predict"].tolist() == expected
        target = client.predict_file(name, path, tmp_path / "out.ndjson")
    assert [json.loads(line) for line in target.read_text().splitlines()] == expected
    said = CliRunner().invoke(app, ["predict", name, "--file", str(path), "--url", hub.url])
    assert said.output.split() == [str(one) for one in expected]


def test_the_client_sends_what_stands_for_missing_values(hub: Any, boosted: tuple[str, list[int]]) -> None:
    name, expected = boosted
    with Client(hub.url) as client:
        for rows in (ROWS, nulls(ROWS), ROWS.tolist(), pd.DataFrame(ROWS)):
            assert client.predict(name, rows).tolist() == expected
        assert client.infer(name, {"input": nulls(ROWS)})["predict"].tolist() == expected


def test_other_models_refuse_them_before_anything_is_queued(hub: Any, published: str) -> None:
    row = np.zeros(64)
    row[5] = np.nan
    path = f"/model/{published}/predict"
    json_row = [None, *[0] * 63]
    inputs = [{"name": "x", "datatype": "FP64", "shape": [1, 64], "data": json_row}]
    for body in (
        {"json": {"input": json_row}},
        {"json": {"inputs": inputs}},
        {"data": saved(row), "headers": {"Content-Type": NPY}},
        {"data": saved(row[None]), "headers": {"Content-Type": NPY, "Prefer": "respond-async"}},
        {"data": ",0" * 63, "headers": {"Content-Type": "text/csv", "Prefer": "respond-async"}},
    ):
        answer = hub.call("POST", path, **body)
        assert refused(answer) == (422, True), answer.text
    with Client(hub.url) as client, pytest.raises(HubError, match="takes no missing values") as caught:
        client.predict(published, row)
    assert caught.value.status == 422


def test_infinity_is_refused_in_any_case(hub: Any, boosted: tuple[str, list[int]]) -> None:
    rows = np.array([[np.nan, np.inf, 0]])
    answer = hub.call("POST", f"/model/{boosted[0]}/predict", data=saved(rows), headers={"Content-Type": NPY})
    assert answer.status_code == 422
    assert "Infinity" in answer.json()["detail"]


def refused(answer: requests.Response) -> tuple[int, bool]:
    return answer.status_code, "the model takes no missing values" in answer.json()["detail"]
