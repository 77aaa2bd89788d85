"""The output of a bulk prediction: its parts, one after the other, are one file that others read."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlhub.common import bulkoutput, tensor
from mlhub.common.bulk import BulkForm, BulkOutput, Part


def written(form: BulkForm, pieces: list[Any]) -> bytes:
    """Write pieces of an output, rows first, as parts of one file."""
    tensors = [tensor.encode("y", piece) for piece in pieces]
    width = max(bulkoutput.width_of(piece) for piece in pieces)
    parts = [
        Part(
            first=0,
            rows=len(piece),
            taken=0,
            output=BulkOutput("y", made.datatype, made.shape[1:]),
            key="k",
            holder="h",
            size=len(made.data),
            sha256="",
            width=width,
        )
        for piece, made in zip(pieces, tensors, strict=True)
    ]
    content = bulkoutput.head(form, parts[0].output, sum(map(len, pieces)), width)
    for part, made in zip(parts, tensors, strict=True):
        body = bulkoutput.body(form, part, width, made.data)
        assert bulkoutput.size(form, part, width) in (None, len(body))
        content += body
    return content


@given(
    st.sampled_from(["<f4", "<f8", "<i8", "|u1", "|b1"]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, min_side=2))
    )
)
def test_an_array_is_what_numpy_reads(array: Any) -> None:
    content = written(BulkForm.NPY, [array[:1], array[1:]])
    read = np.load(io.BytesIO(content), allow_pickle=False)
    assert read.dtype == array.dtype
    assert np.array_equal(read, array, equal_nan=array.dtype.kind == "f")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=2))
def test_texts_are_an_array_too(texts: list[str]) -> None:
    array = np.array(texts, dtype=object)
    content = written(BulkForm.NPY, [array[:1], array[1:]])
    assert np.load(io.BytesIO(content), allow_pickle=False).tolist() == texts
    content = written(BulkForm.JSON_LINES, [array[:1], array[1:]])
    assert [json.loads(line) for line in content.decode().split("\n")[:-1]] == texts


@pytest.mark.parametrize(
    ("array", "lines", "table"),
    [
        (np.array([3, 4]), ["3", "4"], [["3"], ["4"]]),
        (np.array([[0.5, np.nan], [1, 2]]), ["[0.5,null]", "[1.0,2.0]"], [["0.5", "nan"], ["1.0", "2.0"]]),
        (np.array([True, False]), ["true", "false"], [["True"], ["False"]]),
        (np.array(["a,b", 'c"d'], dtype=object), ['"a,b"', '"c\\"d"'], [["a,b"], ['c"d']]),
    ],
)
def test_a_text_has_a_line_for_each_row(array: Any, lines: list[str], table: list[list[str]]) -> None:
    pieces = [array[:1], array[1:]]
    assert written(BulkForm.JSON_LINES, pieces).decode().splitlines() == lines
    assert list(csv.reader(io.StringIO(written(BulkForm.CSV, pieces).decode()))) == table
