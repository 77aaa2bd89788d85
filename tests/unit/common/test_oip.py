"""Bodies of the Open Inference Protocol, both ways, with and without binary data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common import oip, tensor
from mlhub.common.errors import MalformedError, MLHubError, UnacceptableError

INPUTS = [
    tensor.encode("a", np.arange(6, dtype=np.float32).reshape(2, 3)),
    tensor.encode("b", np.array([b"x", b"yz"], dtype=object)),
    tensor.encode("c", np.array([True, False])),
]


@pytest.mark.parametrize("binary", [True, False])
def test_requests_come_back_as_they_were(binary: bool) -> None:
    body, length = oip.encode_request(INPUTS, ["out"], binary=binary)
    assert (length is not None) is binary
    request = oip.decode_request(body, length)
    assert request.outputs == ("out",)
    assert (request.binary is None) is binary
    for item in INPUTS:
        expected, given = tensor.to_list(tensor.decode(item)), tensor.to_list(request.inputs[item.name])
        assert given == expected


@pytest.mark.parametrize("binary", [None, frozenset(), frozenset({"b"})])
def test_responses_come_back_as_they_were(binary: frozenset[str] | None) -> None:
    body, length = oip.encode_response("m", "1", INPUTS, request_id="7", binary=binary)
    assert oip.decode_response(body, length) == tuple(INPUTS)


def test_nested_and_flat_data_mean_the_same() -> None:
    head = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": %s}]}'
    flat, nested = (oip.decode_request(head % data) for data in (b"[1,2,3,4]", b"[[1,2],[3,4]]"))
    np.testing.assert_array_equal(flat.inputs["x"], nested.inputs["x"])


def test_an_output_can_be_asked_for_as_binary_by_name() -> None:
    body = b'{"inputs": [], "outputs": [{"name": "y", "parameters": {"binary_data": true}}, {"name": "z"}]}'
    request = oip.decode_request(body)
    assert (request.outputs, request.binary) == (("y", "z"), frozenset({"y"}))


@pytest.mark.parametrize(
    ("body", "length", "family"),
    [
        (b"", None, MalformedError),
        (b"[]", None, MalformedError),
        (b"{}", 9, MalformedError),
        (b"{}", -1, MalformedError),
        (b'{"inputs": []}extra', 14, MalformedError),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}', None, UnacceptableError),
        (
            b'{"inputs": [{"name": "x", "datatype": "FP99", "shape": [1], "data": [1]}]}',
            None,
            UnacceptableError,
        ),
        (
            b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "data": [1]}]}',
            None,
            UnacceptableError,
        ),
        (
            b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1], "data": [1]}]}',
            None,
            UnacceptableError,
        ),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, length: int | None, family: type[MLHubError]) -> None:
    with pytest.raises(family):
        oip.decode_request(body, length)


@pytest.mark.parametrize("size", ["-1", "8", "true", '"4"', "1e3"])
def test_sizes_of_binary_data_are_not_believed(size: str) -> None:
    head = (
        '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], '
        f'"parameters": {{"binary_data_size": {size}}}}}]}}'
    ).encode()
    with pytest.raises(MLHubError):
        oip.decode_request(head + b"1234", len(head))


@given(st.binary(max_size=200), st.none() | st.integers(-5, 300))
def test_any_bytes_are_a_request_or_refused(body: bytes, length: int | None) -> None:
    try:
        oip.decode_request(body, length)
    except MLHubError as error:
        assert error.detail
