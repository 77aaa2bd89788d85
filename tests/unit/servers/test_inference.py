"""Bodies become arrays that fit the signature, or one clear refusal."""

import contextlib
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from mlhub.common import oip, tensor
from mlhub.common.errors import MLHubError, UnacceptableError
from mlhub.common.signature import Signature, TensorSpec
from mlhub.servers.folder import ModelFolder
from mlhub.servers.frameworks import create_runtime
from mlhub.servers.inference import fit, infer
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.repository import Deployed, Repository

SIGNATURE = Signature((TensorSpec("input", "FP64", (-1, 2)),), (TensorSpec("predict", "FP64", (-1,)),))


@pytest.fixture
def deployed(models: Path, save: Any, loaders: Executor) -> Deployed:
    """A linear model of two features."""
    rows = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
    save("line", "1", LinearRegression().fit(rows, [1.0, 2.0, 3.0]))
    options = RuntimeOptions(max_memory=2**30)
    repository = Repository(ModelFolder(models), create_runtime("sklearn", options), options, loaders)
    return repository.load("line", "1").result(60)


@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<f2", "i1", "<i2", "<i4", "<i8", "u1", "<u8"])
def test_numbers_are_cast_where_nothing_is_lost(dtype: str) -> None:
    fitted = fit({"input": np.ones((3, 2), dtype)}, SIGNATURE)["input"]
    assert fitted.dtype == np.dtype("<f8")
    assert fitted.tolist() == [[1, 1]] * 3


@pytest.mark.parametrize(
    ("given_datatype", "wanted"),
    [
        ("FP64", "FP32"),
        ("FP32", "INT64"),
        ("INT64", "INT32"),
        ("UINT64", "INT64"),
        ("BOOL", "FP64"),
        ("BYTES", "FP64"),
        ("FP64", "BYTES"),
        ("FP64", "BOOL"),
    ],
)
def test_a_datatype_that_would_lose_something_is_refused(given_datatype: str, wanted: str) -> None:
    signature = Signature((TensorSpec("input", wanted, (-1,)),))
    with pytest.raises(UnacceptableError, match=f"is {given_datatype}; the model takes {wanted}"):
        fit({"input": np.zeros(2, tensor.DTYPES[given_datatype])}, signature)


@pytest.mark.parametrize("shape", [(2,), (3, 3), (1, 2, 1), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnacceptableError, match=r"the model takes \[-1, 2\]"):
        fit({"input": np.zeros(shape)}, SIGNATURE)


def test_names_must_be_the_models() -> None:
    good = np.zeros((1, 2))
    with pytest.raises(UnacceptableError, match="'input' is missing"):
        fit({"x": good}, SIGNATURE)
    with pytest.raises(UnacceptableError, match="no input 'x'; it takes input"):
        fit({"input": good, "x": good}, SIGNATURE)
    with pytest.raises(UnacceptableError, match="'input' is missing"):
        fit({}, SIGNATURE)


def test_an_unknown_output_is_refused(deployed: Deployed) -> None:
    body, length = oip.encode_request([tensor.encode("input", np.zeros((1, 2)))], ["nope"], binary=True)
    with pytest.raises(UnacceptableError, match="no output 'nope'; it gives predict"):
        infer(deployed, body, length)


@pytest.mark.parametrize("binary", [True, False])
def test_the_answer_is_in_the_form_asked_for(deployed: Deployed, *, binary: bool) -> None:
    rows = np.array([[0.5, 0.25], [3.0, -1.0]])
    body, length = oip.encode_request([tensor.encode("input", rows)], binary=binary)
    answer, answer_length = infer(deployed, body, length)
    assert (answer_length is not None) == binary
    (output,) = oip.decode_response(answer, answer_length)
    expected = deployed.loaded.predict({"input": rows}, ())["predict"]
    assert tensor.decode(output).tolist() == expected.tolist()


def test_the_requests_id_comes_back(deployed: Deployed) -> None:
    body = {"id": "q7", "inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP64", "data": [[1, 2]]}]}
    answer, _ = infer(deployed, msgspec.json.encode(body), None)
    decoded = msgspec.json.decode(answer)
    assert (decoded["id"], decoded["model_name"], decoded["model_version"]) == ("q7", "line", "1")


SOUND, SOUND_LENGTH = oip.encode_request([tensor.encode("input", np.ones((2, 2)))], binary=True)
TEXTS = b'[ ] { } , : 1e999 -1 null "input" "shape" "datatype" "data" "BYTES" "FP16" 9e99 99'.split()
PIECES = st.sampled_from([*TEXTS, b'"\xff"', b"\x00", b"[" * 5000, b'{"a":' * 5000])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.integers(0, len(SOUND)),
    length=st.integers(0, 60),
    piece=PIECES | st.binary(max_size=20),
    header=st.none() | st.just(SOUND_LENGTH) | st.integers(0, 300),
)
def test_a_broken_body_is_refused_and_never_a_crash(
    deployed: Deployed, where: int, length: int, piece: bytes, header: int | None
) -> None:
    body = SOUND[:where] + piece + SOUND[where + length :]
    with contextlib.suppress(MLHubError):
        infer(deployed, body, header)


TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["input", "x", ""]),
        "shape": st.lists(st.sampled_from([0, 1, 2, -1, 2**62, 10**20]), max_size=5) | st.just([1] * 70),
        "datatype": st.sampled_from([*tensor.DTYPES, "FP128", ""]),
        "data": st.sampled_from(
            [[], [1, 2], [[1, 2]], [1.5, -1e300], ["a", "b"], [True, False], [None], {}, 1]
        ),
    },
    optional={
        "parameters": st.fixed_dictionaries({"binary_data_size": st.sampled_from([0, 1, 16, -1, "x"])})
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inputs=st.lists(TENSOR, max_size=3), rest=st.binary(max_size=16))
def test_odd_tensors_are_refused_and_never_a_crash(
    deployed: Deployed, inputs: list[Any], rest: bytes
) -> None:
    head = msgspec.json.encode({"inputs": inputs})
    with contextlib.suppress(MLHubError):
        infer(deployed, head + rest, len(head))


def test_a_text_that_is_missing_is_refused_unless_it_may_be() -> None:
    given = {"word": np.array([b"a", None], dtype=object)}
    with pytest.raises(UnacceptableError, match="A text is missing in the input 'word'"):
        fit(given, Signature((TensorSpec("word", "BYTES", (-1,)),)))
    taken = fit(given, Signature((TensorSpec("word", "BYTES", (-1,), allow_missing=True),)))
    assert taken["word"].tolist() == [b"a", None]
