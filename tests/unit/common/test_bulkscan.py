"""Files of bulk predictions: whatever the pieces they come in, their rows are found, and what is wrong is said."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common import bulk, bulkscan
from mlhub.common.bulk import BulkForm, Layout, unit, units
from mlhub.common.bulkrows import RowError, read_span
from mlhub.common.bulkscan import create_scan
from mlhub.common.errors import MalformedError, MLHubError, TooLargeError, UnacceptableError
from mlhub.common.signature import Signature, TensorSpec
from mlhub.common.tensor import Array

PAIRS = Signature((TensorSpec("x", "FP64", (-1, 2)),))
WORDS = Signature((TensorSpec("x", "BYTES", (-1, 1)),))
TABLE = Signature(
    (
        TensorSpec("age", "FP64", (-1,)),
        TensorSpec("city", "BYTES", (-1,)),
        TensorSpec("smoker", "BOOL", (-1,)),
    )
)
NAMED = Signature((TensorSpec("a", "FP32", (-1, 1)), TensorSpec("b", "BYTES", (-1,))))
ROWS = np.arange(20, dtype="f8").reshape(10, 2)


def scanned(content: bytes, form: BulkForm, signature: Signature = PAIRS, piece: int = 7) -> Layout:
    scan = create_scan(form, signature)
    for start in range(0, len(content), piece):
        scan.feed(content[start : start + piece])
    return scan.end()


def read(content: bytes, layout: Layout, signature: Signature = PAIRS) -> dict[str, Array]:
    found: list[dict[str, Array]] = []
    for number in range(units(layout)):
        span = unit(layout, number)
        reader = read_span(layout, signature, span, content[span.offset : span.offset + span.size])
        for start in range(0, span.rows, 3):
            stop = min(start + 3, span.rows)
            found.append(reader.take(start, stop).inputs)
        assert reader.size(0, span.rows) == span.size
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def lines(rows: Any, end: str = "\n") -> bytes:
    return "".join(json.dumps(row) + end for row in rows).encode()


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of a few rows, so that small files have several."""
    monkeypatch.setattr(bulk, "UNIT_BYTES", 48)
    monkeypatch.setattr(bulkscan, "UNIT_BYTES", 48)
    monkeypatch.setattr(bulkscan, "_LONGEST", 200)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "|u1"])
def test_the_rows_of_an_array_are_read_in_the_model_s_type(dtype: str) -> None:
    content = saved(ROWS.astype(dtype))
    layout = scanned(content, BulkForm.NPY)
    assert layout.rows == 10
    assert np.array_equal(read(content, layout)["x"], ROWS)


@given(
    values=st.lists(st.tuples(st.integers(-9, 10**9), st.floats(-1e9, 1e9)), min_size=1, max_size=30),
    form=st.sampled_from([BulkForm.CSV, BulkForm.JSON_LINES]),
    end=st.sampled_from(["\n", "\r\n"]),
    tail=st.sampled_from(["", "\n", "\r\n \n"]),
    piece=st.integers(1, 100),
)
def test_the_rows_of_a_text_are_found_whatever_the_pieces(
    values: list[tuple[int, float]], form: BulkForm, end: str, tail: str, piece: int
) -> None:
    is_csv = form is BulkForm.CSV
    written = [f"{a},{b!r}" if is_csv else json.dumps([a, b]) for a, b in values]
    content = ((f"first,second{end}" if is_csv else "") + end.join(written) + tail).encode()
    layout = scanned(content, form, piece=piece)
    assert layout.rows == len(values)
    assert np.array_equal(read(content, layout)["x"], np.array(values, "f8"))


def test_units_of_a_text_begin_with_its_lines() -> None:
    content = lines(ROWS.tolist())
    layout = scanned(content, BulkForm.JSON_LINES, piece=1000)
    assert units(layout) > 1
    for number in range(units(layout)):
        offset = unit(layout, number).offset
        assert not offset or content[offset - 1 : offset] == b"\n"


def test_rows_of_several_inputs_are_objects() -> None:
    content = lines([{"a": [1.5], "b": "x"}, {"b": "y\nz", "a": [2]}])
    found = read(content, scanned(content, BulkForm.JSON_LINES, NAMED), NAMED)
    assert found["a"].tolist() == [[1.5], [2]]
    assert found["b"].tolist() == ["x", "y\nz"]
    with pytest.raises(UnacceptableError, match="several inputs"):
        create_scan(BulkForm.CSV, NAMED)


def test_the_heading_of_a_csv_says_which_input_a_column_is() -> None:
    content = b'id;smoker;city;age\r\n1;True;"K\xc3\xb6ln";70\r\n2;0;7;4.5\r\n'
    for piece in (1, 1000):
        found = read(content, scanned(content, BulkForm.CSV, TABLE, piece=piece), TABLE)
        assert {name: array.tolist() for name, array in found.items()} == {
            "age": [70, 4.5],
            "city": ["Köln", "7"],
            "smoker": [True, False],
        }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"age,city\n1,a\n",
            "no column 'smoker'; its first line has to name the inputs of the model: age, city, smoker",
        ),
        (b"", "no rows in the file|no column 'age'"),
        (b"age,city,smoker\n", "no rows in the file"),
        (b"age,city,smoker\n1,a\n", "has 2 cells, and the heading 3"),
        (b"age,city,smoker\nold,a,true\n", "'age' takes FP64, and holds something else"),
        (b"age,city,smoker\nnan,a,true\n", "takes no missing values"),
        (b"age,city,smoker\n,a,true\n", "takes no missing values"),
        (b"age,city,smoker\n1,a,\n", "'smoker' takes BOOL, and holds something else"),
        (b"age,city,smoker\n1,a,maybe\n", "'smoker' takes BOOL, and holds something else"),
        (b"age,city,smoker\n1,\xff,true\n", "not UTF-8"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_its_first_row(content: bytes, says: str) -> None:
    with pytest.raises(UnacceptableError, match=says):
        scanned(content, BulkForm.CSV, TABLE)


def test_texts_come_from_each_form() -> None:
    words = ["one", "zwei", "три", "7"]
    for form, content in (
        (BulkForm.NPY, saved(np.array(words)[:, None])),
        (BulkForm.CSV, "\n".join(words).encode()),
        (BulkForm.JSON_LINES, lines([[word] for word in words])),
    ):
        assert read(content, scanned(content, form, WORDS), WORDS)["x"].ravel().tolist() == words


@pytest.mark.parametrize("mark", [";", "\t"])
def test_csv_may_have_other_separators_and_a_mark_of_its_coding(mark: str) -> None:
    content = b"\xef\xbb\xbf" + f"a{mark}b\n1{mark}2\n3{mark}4".encode()
    assert read(content, scanned(content, BulkForm.CSV))["x"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "form", "kind", "says"),
    [
        (saved(ROWS[:, :1]), BulkForm.NPY, UnacceptableError, "has shape"),
        (saved(ROWS[0]), BulkForm.NPY, UnacceptableError, "is one row"),
        (saved(np.float64(1)), BulkForm.NPY, UnacceptableError, "no rows"),
        (saved(ROWS[:0]), BulkForm.NPY, UnacceptableError, "no rows"),
        (saved(ROWS.astype("U4")), BulkForm.NPY, UnacceptableError, "takes FP64"),
        (saved(np.asfortranarray(ROWS)), BulkForm.NPY, UnacceptableError, "by columns"),
        (saved(ROWS)[:-1], BulkForm.NPY, MalformedError, "bytes of elements"),
        (saved(ROWS) + b"x", BulkForm.NPY, MalformedError, "bytes of elements"),
        (saved(ROWS)[:20], BulkForm.NPY, MalformedError, "header"),
        (b"", BulkForm.NPY, MalformedError, "begin"),
        (saved(np.zeros((1, 1000))), BulkForm.NPY, TooLargeError, "Row 1"),
        (b"", BulkForm.CSV, UnacceptableError, "no rows"),
        (b"a,b\n", BulkForm.CSV, UnacceptableError, "no rows"),
        (b"1,2,3\n", BulkForm.CSV, RowError, "Row 1 "),
        (b"\n\n", BulkForm.JSON_LINES, UnacceptableError, "no rows"),
        (b"[1,2\n", BulkForm.JSON_LINES, RowError, "Row 1 "),
        (b"[1, 2], [3, 4]\n", BulkForm.JSON_LINES, RowError, "Row 1 "),
        (b"[1,\xff]", BulkForm.JSON_LINES, RowError, "Row 1 "),
        (b"[" * 100, BulkForm.JSON_LINES, RowError, "Row 1 "),
        (b"[1,2]\n[1," + b" " * 300 + b"2]", BulkForm.JSON_LINES, TooLargeError, "Row 2 "),
        (b"1," + b" " * 300 + b"2", BulkForm.CSV, TooLargeError, "Row 1 "),
    ],
)
def test_what_is_wrong_is_said_while_it_comes_in(
    content: bytes, form: BulkForm, kind: type[MLHubError], says: str
) -> None:
    for piece in (7, 1000):
        with pytest.raises(kind, match=says):
            scanned(content, form, piece=piece)


@pytest.mark.parametrize(
    ("bad", "form"),
    [
        (b"[1]", BulkForm.JSON_LINES),
        (b"", BulkForm.JSON_LINES),
        (b"[1,null]", BulkForm.JSON_LINES),
        (b"[1,2],[3,4]", BulkForm.JSON_LINES),
        (b"x", BulkForm.JSON_LINES),
        (b"\xff", BulkForm.JSON_LINES),
        (b"1,2,3", BulkForm.CSV),
        (b"1,x", BulkForm.CSV),
        (b"1,", BulkForm.CSV),
        (b"1,nan", BulkForm.CSV),
        (b"", BulkForm.CSV),
        (b"\xff,1", BulkForm.CSV),
    ],
)
def test_a_bad_row_is_named(bad: bytes, form: BulkForm) -> None:
    good = b"1,2\n" if form is BulkForm.CSV else b"[1,2]\n"
    content = good * 16 + bad + b"\n" + good * 3
    layout = scanned(content, form)
    with pytest.raises(RowError, match=r"Row 17 of the file cannot be used: \w"):
        read(content, layout)


def test_what_is_missing_is_read_where_it_may_be() -> None:
    pairs = Signature((TensorSpec("x", "FP64", (-1, 2), allow_missing=True),))
    expected = np.array([[1, 2], [np.nan, 4], [5, np.nan], [np.nan, np.nan]])
    for form, content in (
        (BulkForm.CSV, b"1,2\n,4\n5,nan\n,\n"),
        (BulkForm.CSV, b'a,b\n1,2\n"",4\n5, \nNaN,\n'),
        (BulkForm.CSV, b",\n1,2\n"),
        (BulkForm.CSV, b"nan,nan\n1,2\n"),
        (BulkForm.JSON_LINES, b"[1,2]\n[null,4]\n[5,null]\n[null,null]\n"),
        (BulkForm.NPY, saved(expected)),
    ):
        rows = read(content, scanned(content, form, pairs), pairs)["x"]
        wanted = expected if len(rows) > 2 else expected[[3, 0]]
        np.testing.assert_array_equal(rows, wanted)


def test_empty_cells_of_a_table_are_missing_where_they_may_be() -> None:
    table = Signature(
        (
            TensorSpec("age", "FP64", (-1,), allow_missing=True),
            TensorSpec("city", "BYTES", (-1,), allow_missing=True),
            TensorSpec("note", "BYTES", (-1,)),
        )
    )
    content = b"age,city,note\n,a,x\n2,,\n"
    read_rows = read(content, scanned(content, BulkForm.CSV, table), table)
    np.testing.assert_array_equal(read_rows["age"], [np.nan, 2])
    assert (read_rows["city"].tolist(), read_rows["note"].tolist()) == (["a", None], ["x", ""])


def test_the_column_of_a_bad_row_is_named() -> None:
    good = b'{"age": 1, "city": "a", "smoker": true}\n'
    for bad, said in (
        (b'{"age": "x", "city": "a", "smoker": true}', r"Expected float, got str \(at age\)\."),
        (b'{"age": null, "city": "a", "smoker": true}', r"takes no missing values here \(at age\)\."),
    ):
        content = good + bad + b"\n"
        with pytest.raises(RowError, match=r"Row 2 of the file cannot be used: .*" + said):
            read(content, scanned(content, BulkForm.JSON_LINES, TABLE), TABLE)
    content = b"age,city,smoker\n1,a,true\n,a,true\n"
    with pytest.raises(RowError, match=r"Row 2 of the file .* takes no missing values in 'age'\."):
        read(content, scanned(content, BulkForm.CSV, TABLE), TABLE)


def test_the_bad_number_of_an_array_is_named() -> None:
    rows = ROWS.copy()
    rows[7, 1] = np.nan
    content = saved(rows)
    with pytest.raises(RowError, match=r"Row 8 of the file cannot be used: A value is missing"):
        read(content, scanned(content, BulkForm.NPY))


@given(st.binary(max_size=300), st.sampled_from(list(BulkForm)), st.sampled_from([PAIRS, WORDS]))
def test_no_file_crashes_what_looks_at_it(content: bytes, form: BulkForm, signature: Signature) -> None:
    try:
        layout = scanned(content, form, signature, piece=50)
        read(content, layout, signature)
    except MLHubError:
        pass
