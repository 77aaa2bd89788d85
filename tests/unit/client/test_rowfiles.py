"""Rows and outputs of the command line."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer

from mlhub.client import HubError
from mlhub.client.commands import rowfiles
from mlhub.common.signature import Signature, TensorSpec


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2\n3,4.5\n", [[1, 2], [3, 4.5]]),
        ("a;b\n1;2\n\n", [[1, 2]]),
        ("\ufeffa\tb\r\n1\t-2e3\r\n", [[1, -2000.0]]),
        ('"x"\n"7"\n', [[7]]),
        ("5", [[5]]),
        ("a,b\n1,\n ,2\n", [[1, None], [None, 2]]),
        (",\n1,2\n", [[None, None], [1, 2]]),
    ],
)
def test_csv_is_rows_of_numbers_with_or_without_names(tmp_path: Path, text: str, rows: Any) -> None:
    path = tmp_path / "rows.CSV"
    path.write_text(text, newline="")
    assert rowfiles.load(path) == rows


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.csv", b"1,2\n3,x\n", "'x' in row 2, column 2"),
        ("r.csv", b"1,inf\n", "'inf' in row 1, column 2"),
        ("r.csv", b"a,b\n", "has no rows"),
        ("r.csv", b"", "has no rows"),
        ("r.csv", b"\xff\xfe1", "UTF-8"),
        ("r.json", b"[1, 2", "is not JSON"),
        ("r.json", b"\xff", "is not JSON"),
        ("r.json", b"[1, NaN]", "is not JSON: JSON has no NaN; write null for a value that is missing"),
        ("r.json", b'{"inputs": []}', "neither rows nor inputs"),
        ("r.json", b"{}", "neither rows nor inputs"),
        ("r.npy", b"no array", "is not an npy file"),
        ("r.npy", b"", "is not an npy file"),
    ],
)
def test_a_file_without_rows_says_what_is_wrong(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(HubError, match=words):
        rowfiles.load(path)


def test_a_pickle_in_an_npy_file_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(HubError, match="is not an npy file with numbers"):
        rowfiles.load(path)


def test_rows_may_come_with_the_body_around_them_or_by_name() -> None:
    assert rowfiles.parse('{"input": [1, 2]}') == [1, 2]
    assert rowfiles.parse('{"x": [[1, 2]], "y": [[3]]}') == {"x": [[1, 2]], "y": [[3]]}
    assert rowfiles.parse('{"x": [1, 2], "y": "a"}') == {"x": [1, 2], "y": "a"}


def test_standard_input_may_hold_json_or_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    np.save(file, np.arange(3))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(file.getvalue())))
    assert rowfiles.parse("-").tolist() == [0, 1, 2]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"[1]\n")))
    assert rowfiles.parse("-") == [1]


@pytest.mark.parametrize(
    ("output", "labels", "lines"),
    [
        (4, None, ["4"]),
        ([], [], []),
        (4, "four", ["4\tfour"]),
        ([4, 5], ["four", "five"], ["4\tfour", "5\tfive"]),
        ([4, 5], None, ["4", "5"]),
        ([[0.25, 0.75]], ["a", "b"], ["[0.25,0.75]"]),
        ([0.25, 0.75], ["a", "b"], ["0.25\ta", "0.75\tb"]),
        (["x", "y"], None, ['"x"', '"y"']),
        ({"y": [1], "z": [2]}, None, ['{"y":[1],"z":[2]}']),
        (1, "a\x1b[31m", ["1\ta\ufffd[31m"]),
    ],
)
def test_an_output_is_a_line_for_each_row(output: Any, labels: Any, lines: list[str]) -> None:
    assert list(rowfiles.lines(output, labels)) == lines


@pytest.mark.parametrize(
    ("given", "single"),
    [
        ([1, 2], True),
        ([[1, 2]], False),
        (np.zeros(2), True),
        (np.zeros((1, 2)), False),
        ({"x": [1]}, False),
        ([], True),
    ],
)
def test_one_row_is_told_from_several_by_the_signature(given: Any, single: bool) -> None:
    signature = Signature((TensorSpec("x", "FP32", (-1, 2)),))
    assert rowfiles.is_single(given, signature) is single
    assert list(rowfiles.lines([0.25, 0.75], ["a", "b"], single=True)) == ["[0.25,0.75]"]


TABLE = Signature(
    (
        TensorSpec("age", "FP64", (-1,)),
        TensorSpec("city", "BYTES", (-1,)),
        TensorSpec("smoker", "BOOL", (-1,)),
    )
)


def test_the_heading_of_a_table_names_the_inputs(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,smoker,city,age\n1,True,Köln,70\n2,0,7,4.5\n")
    assert rowfiles.load(path, TABLE) == [
        {"age": 70, "city": "Köln", "smoker": True},
        {"age": 4.5, "city": "7", "smoker": False},
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "age,city\n1,a\n",
            "no column 'smoker'; its first line has to name the model's inputs: age, city, smoker",
        ),
        ("", "no column 'age'"),
        ("age,city,smoker\n", "has no rows"),
        ("age,city,smoker\n1,a\n", "has 2 cells in row 1, and 3 names of columns"),
        ("age,city,smoker\nold,a,true\n", "'old' in row 1, column 1, which is no number"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(HubError, match=says):
        rowfiles.load(path, TABLE)


def test_words_in_a_table_are_taken_where_the_model_takes_words(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("red,7\nblue,8\n")
    words = Signature((TensorSpec("x", "BYTES", (-1, 2)),))
    assert rowfiles.load(path, words) == [["red", "7"], ["blue", "8"]]


def test_outputs_are_written_in_the_form_of_the_file(tmp_path: Path) -> None:
    assert rowfiles.save(tmp_path / "o.npy", [[1, 2]]) == "an array of shape [1, 2]"
    assert np.load(tmp_path / "o.npy").tolist() == [[1, 2]]
    assert rowfiles.save(tmp_path / "o.json", [1, 2]) == "2 outputs"
    assert (tmp_path / "o.json").read_text() == "[1,2]\n"
    rowfiles.save(tmp_path / "o.csv", [[1, 2], [3, 4]])
    assert (tmp_path / "o.csv").read_text().split() == ["1,2", "3,4"]
    rowfiles.save(tmp_path / "o.csv", 5)
    assert (tmp_path / "o.csv").read_text().split() == ["5"]
    with pytest.raises(HubError, match=r"several outputs \(y, z\)"):
        rowfiles.save(tmp_path / "o.npy", {"y": 1, "z": 2})


def test_an_output_of_another_form_is_refused_beforehand() -> None:
    rowfiles.check_output(None)
    rowfiles.check_output(Path("x.NPY"))
    with pytest.raises(typer.BadParameter, match=r"\.npy, \.json, \.csv"):
        rowfiles.check_output(Path("x.txt"))
