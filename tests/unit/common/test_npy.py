"""Arrays in numpy's file format: what numpy writes is read as it is, and nothing else gets through."""

import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlhub.common import npy
from mlhub.common.errors import MalformedError
from mlhub.common.tensor import DTYPES

NUMBERS = [
    *(np.dtype(f"{order}{kind}") for order in "<>" for kind in ("i2", "i4", "i8", "u4", "f2", "f4", "f8")),
    np.dtype("i1"),
    np.dtype("u1"),
    np.dtype("?"),
]


def saved(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


@given(
    st.sampled_from(NUMBERS).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0))
    ),
    st.booleans(),
    st.sampled_from([(1, 0), (2, 0), (3, 0), None]),
)
def test_what_numpy_writes_is_read_as_it_is(array: Any, fortran: bool, version: Any) -> None:
    written = np.asfortranarray(array) if fortran else array
    read = npy.decode(saved(written, version=version))
    assert read.dtype in DTYPES.values()
    assert read.shape == written.shape
    np.testing.assert_array_equal(read, written)
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.encode(read)), allow_pickle=False), written)


@given(arrays.arrays(st.sampled_from(["<U3", ">U7", "S4"]), arrays.array_shapes(max_dims=2)))
def test_text_is_read_too(array: Any) -> None:
    # Halves of surrogate pairs are no text, and are refused.
    assume(
        array.dtype.kind == "S" or not any("\ud800" <= letter <= "\udfff" for letter in "".join(array.flat))
    )
    assert npy.decode(saved(array)).tolist() == array.tolist()


def test_text_goes_out_as_text() -> None:
    written = npy.encode(np.array([b"good", "\u00e4"], dtype=object))
    assert np.load(io.BytesIO(written), allow_pickle=False).tolist() == ["good", "\u00e4"]


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    size = 2 if version == 1 else 4
    return (
        npy.MAGIC + bytes([version, 0]) + len(text).to_bytes(size, "little") + text.encode("latin-1") + data
    )


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        npy.MAGIC,
        saved(np.zeros(3))[:-1],
        saved(np.zeros(3)) + b"\0",
        saved(np.zeros(3))[:40],
        saved(np.array([{}], dtype=object), allow_pickle=True),
        saved(np.zeros(3, "M8[s]")),
        saved(np.zeros(3, complex)),
        saved(np.zeros(3, [("a", "<f4")])),
        saved(np.zeros(3, "V3")),
        pickle.dumps(np.zeros(3)),
        header(GOOD),
        header(GOOD, bytes(4), version=4),
        header(GOOD.replace("(1,)", "(-1,)"), bytes(4)),
        header(GOOD.replace("(1,)", "(1 1,)"), bytes(44)),
        header(GOOD.replace("(1,)", "(999999999999999999, 999999999999999999)"), bytes(4)),
        header(GOOD.replace("(1,)", "(0, 999999999999999999, 999999999999999999)")),
        header(GOOD.replace("(1,)", "(1,1,1,1,1,1,1,1,1)"), bytes(4)),
        header(GOOD.replace("False", "0"), bytes(4)),
        header(GOOD.replace("<f4", "<U0"), bytes(4)),
        header(GOOD.replace("<f4", "<U1"), b"\xff\xff\xff\xff"),
        header(GOOD.replace("'<f4'", "__import__('os')"), bytes(4)),
        header("{" + "(" * 3000 + "}", bytes(4)),
        header(" " * 5000 + GOOD, bytes(4)),
        header("{}", bytes(4)),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        npy.decode(content)
    assert caught.value.code == "bad_npy"


def test_headers_of_other_writers_are_read() -> None:
    assert npy.decode(header(GOOD, bytes(4))).tolist() == [0.0]
    other = '{"shape":(2,1),"descr":"<f4","fortran_order":True}\n'
    assert npy.decode(header(other, bytes(8), version=2)).shape == (2, 1)


@given(st.binary(max_size=300), st.integers(0, 200), st.integers(0, 200))
@example(b"", 8, 9)
def test_damaged_files_are_refused_or_read_and_nothing_else(noise: bytes, start: int, end: int) -> None:
    content = saved(np.arange(6, dtype="<f4").reshape(2, 3))
    try:
        array = npy.decode(content[:start] + noise + content[end:])
    except MalformedError:
        return
    assert array.dtype in DTYPES.values()
