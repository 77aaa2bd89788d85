"""Answers are JSON, whatever a model gives."""

from typing import Any

import msgspec
import numpy as np
import pytest

from mlhub.api import representation
from mlhub.api.gateway.answer import Answer, Outputs
from mlhub.api.services.routes import Route
from mlhub.common import oip, tensor
from mlhub.common.signature import Signature


def shown(array: Any, *, single: bool = False, labels: tuple[str, ...] = ()) -> Any:
    route = Route("m", "1", "b", "d", Signature(()), labels)
    answer = Answer(Outputs([tensor.encode("y", array)], 0.0, 0.0))
    return msgspec.json.decode(msgspec.json.encode(representation.answer(route, answer, single=single)))


@pytest.mark.parametrize(
    ("array", "output"),
    [
        (np.array([1.5, np.nan, np.inf, -np.inf]), [1.5, None, None, None]),
        (np.array([2**63 - 1]), [2**63 - 1]),
        (np.array([True, False]), [True, False]),
        (np.array([b"good", "\u00e4".encode()], dtype=object), ["good", "\u00e4"]),
    ],
)
def test_every_datatype_comes_as_json_has_it(array: Any, output: list[Any]) -> None:
    assert shown(array)["output"] == output
    assert shown(array, single=True)["output"] == output[0]
    body, _ = oip.encode_response("m", "1", [tensor.encode("y", array)])
    assert msgspec.json.decode(body)["outputs"][0]["data"] == output


def test_classes_have_their_names() -> None:
    names = ("cat", "dog")
    assert shown(np.array([1, 0, 7]), labels=names)["labels"] == ["dog", "cat", None]
    assert shown(np.array([1]), single=True, labels=names)["labels"] == "dog"
    assert shown(np.array([[0.1, 0.9]]), labels=names)["labels"] == ["cat", "dog"]
    assert "labels" not in shown(np.array([[0.1, 0.2, 0.7]]), labels=names)
