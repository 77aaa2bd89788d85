"""A bundle's description is used where it is sound, and refused with its flaw where it is not."""

from pathlib import Path

import pytest

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import Signature, TensorSpec
from mlhub.servers import description


def test_without_a_file_nothing_is_described(tmp_path: Path) -> None:
    assert description.read(tmp_path).signature is None


def test_what_concerns_others_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "mlhub.json").write_text('{"labels": ["a"], "input_example": [1], "image": {}}')
    assert description.read(tmp_path).signature is None


def test_a_signature_is_read(tmp_path: Path) -> None:
    (tmp_path / "mlhub.json").write_text(
        '{"signature": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}]}}'
    )
    assert description.read(tmp_path).signature == Signature((TensorSpec("text", "BYTES", (-1,)),))


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        (b"", "cannot be used"),
        (b"[]", "cannot be used"),
        (b'{"signature": {"inputs": "x"}}', "cannot be used"),
        (b'{"a":' * 100_000, "cannot be used"),
        (
            b'{"signature": {"inputs": [{"name": "\xff", "datatype": "FP64", "shape": [-1]}]}}',
            "cannot be used",
        ),
        (b'{"signature": {"inputs": []}}', "without inputs"),
        (b'{"signature": {"inputs": [{"name": "x", "datatype": "FLOAT", "shape": [-1]}]}}', "datatype"),
        (b'{"signature": {"inputs": [{"name": "x", "datatype": "FP64", "shape": [-2]}]}}', "shape"),
        (b'{"signature": {"inputs": [{"name": "x", "datatype": "FP64", "shape": []}]}}', "shape"),
        (
            b'{"signature": {"inputs": [{"name": "x", "datatype": "BOOL", "shape": [1], "allow_missing": true}]}}',
            "lets 'x' be missing, which BOOL cannot be",
        ),
    ],
)
def test_a_flaw_is_named(tmp_path: Path, text: bytes, flaw: str) -> None:
    (tmp_path / "mlhub.json").write_bytes(text)
    with pytest.raises(UnacceptableError, match=flaw):
        description.read(tmp_path)


def test_a_folder_in_its_place_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "mlhub.json").mkdir()
    with pytest.raises(UnacceptableError, match="cannot be read"):
        description.read(tmp_path)
