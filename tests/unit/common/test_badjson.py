"""That whoever sends no JSON learns what is wrong with it."""

import msgspec
import pytest

from mlhub.common import oip
from mlhub.common.badjson import fault
from mlhub.common.errors import MalformedError, UnacceptableError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"input": [1.0, NaN]}', "is not JSON: JSON has no NaN; write null for a value that is missing"),
        (b'{"input": -Infinity}', "is not JSON: JSON has no -Infinity"),
        (b'{"a": "\\ud800"}', r"is not JSON: it ends too early, or has half of a pair like \ud83d\ude00"),
        (b'{"a": 1', "is not JSON: it ends too early"),
        (b'{"a": "\xff"}', "is not JSON: it is not UTF-8"),
        (b'{"a": 1}x', "is not JSON: trailing characters (byte 9)"),
        (b"NaNs", "is not JSON: invalid character (byte 0)"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"\xef\xbb\xbf{}", "is not JSON: it begins with a byte order mark; save it as UTF-8 without one"),
        ("{}".encode("utf-16"), "is not JSON: it is UTF-16; save it as UTF-8"),
    ],
)
def test_a_fault_is_named(text: bytes, said: str) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, RecursionError)) as caught:
        msgspec.json.decode(text)
    assert fault(text, caught.value).startswith(said)


def test_an_open_inference_request_without_a_body_is_called_empty() -> None:
    with pytest.raises(MalformedError, match="The body is empty"):
        oip.decode_request(b"")


def test_a_tensor_with_a_negative_extent_is_asked_for_its_rows() -> None:
    body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2], "data": [1, 2]}]}'
    with pytest.raises(UnacceptableError, match=r"shape \[-1, 2\]; say how many rows there are"):
        oip.decode_request(body)
