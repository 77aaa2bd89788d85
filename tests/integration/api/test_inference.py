"""The hub as an Open Inference server, also to a public client of that protocol."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def client(hub: Any, published: str) -> Iterator[Any]:
    client = triton.InferenceServerClient(hub.url.removeprefix("http://"), network_timeout=60)
    yield client
    client.close()


def given(rows: Any, datatype: str = "FP64", *, binary: bool = True) -> Any:
    tensor = triton.InferInput("input", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


def test_a_public_client_finds_server_and_model(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("digits", "77")
    assert not client.is_model_ready("nobody")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("digits")
    assert (metadata["name"], metadata["versions"]) == ("digits", ["1"])
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 64]}]
    assert metadata == client.get_model_metadata("digits", "1")
    index = client.get_model_repository_index()
    assert {"name": "digits", "version": "1", "state": "READY", "reason": ""} in index


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_a_public_client_gets_the_models_own_numbers(
    client: Any, digits: Any, binary_in: bool, binary_out: bool
) -> None:
    wanted = [
        triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("predict", "predict_proba")
    ]
    inputs = [given(digits.rows[:7], binary=binary_in)]
    result = client.infer("digits", inputs, outputs=wanted, model_version="1", request_id="mine")
    assert result.get_response()["id"] == "mine"
    assert result.get_response()["model_version"] == "1"
    assert result.as_numpy("predict").tolist() == digits.expected[:7]
    np.testing.assert_allclose(
        result.as_numpy("predict_proba"), digits.estimator.predict_proba(digits.rows[:7]), atol=1e-12
    )


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
def test_a_public_client_may_pack_its_requests(client: Any, digits: Any, packed: str) -> None:
    result = client.infer("digits", [given(digits.rows[:2])], request_compression_algorithm=packed)
    assert result.as_numpy("predict").tolist() == digits.expected[:2]


def test_a_public_client_is_told_what_is_wrong(client: Any, digits: Any) -> None:
    with pytest.raises(InferenceServerException, match="no model named 'nobody'"):
        client.infer("nobody", [given(digits.rows[:1])])
    with pytest.raises(InferenceServerException, match="shape"):
        client.infer("digits", [given(digits.rows[:1, :3])])
    with pytest.raises(InferenceServerException, match="no output 'odd'"):
        client.infer("digits", [given(digits.rows[:1])], outputs=[triton.InferRequestedOutput("odd")])


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"", 400),
        ({}, b"{}", 400),
        ({}, b'{"inputs": []}', 422),
        ({"Inference-Header-Content-Length": "99"}, b"{}", 400),
        ({"Inference-Header-Content-Length": "-1"}, b"{}", 400),
        ({"Inference-Header-Content-Length": "9" * 5000}, b"{}", 400),
        ({"Content-Encoding": "gzip"}, b"{}", 400),
    ],
)
def test_bad_requests_are_errors_in_the_protocols_form(
    hub: Any, published: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = hub.call("POST", "/v2/models/digits/infer", data=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == answer.json()["detail"]
    missing = hub.call("GET", "/v2/models/digits/odd")
    assert (missing.status_code, bool(missing.json()["error"])) == (404, True)
