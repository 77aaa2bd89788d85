"""Models whose backend was taken out of the settings, as an API process with such settings answers for them."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from mlhub.local.ports import free_ports
from mlhub.storage.database import connect
from mlhub.storage.inspection import stranded

CODE = "backend_not_configured"
OTHER = "other"


@pytest.fixture(scope="module")
def later(hub: Any, make_hub: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The API as it is when it is started again without the only backend, and with one that does not run."""
    ports = free_ports(("api", "server"), {})
    changed = {
        "MLHUB_PORT": str(ports["api"]),
        "MLHUB_API_PROCESSES": "1",
        "MLHUB_BACKENDS": json.dumps({OTHER: {"addresses": [f"http://127.0.0.1:{ports['server']}"]}}),
    }
    environment = hub.parts["api"].environment | changed
    later = make_hub({"api": ("api",)}, environment, ports, tmp_path_factory.mktemp("later"))
    later.parts["api"].start()
    try:
        later.wait_until(lambda: answers(later), "an answer")
        yield later
    finally:
        later.parts["api"].stop()


def answers(hub: Any) -> bool:
    try:
        return bool(hub.call("GET", "/health/live").ok)
    except requests.ConnectionError:
        return False


@pytest.fixture
def name(hub: Any, digits: Any, request: pytest.FixtureRequest) -> str:
    """A model of the hub that only this test uses."""
    name = f"removed-{request.node.name[:40].rstrip('_')}"
    hub.publish(name, digits.bundle)
    return name


def predict(hub: Any, name: str, digits: Any, **headers: str) -> requests.Response:
    answer: requests.Response = hub.call(
        "POST", f"/model/{name}/predict", json={"input": digits.rows[0].tolist()}, headers=headers
    )
    return answer


def test_calls_that_need_it_say_which_is_missing_and_what_to_do(later: Any, name: str, digits: Any) -> None:
    rows = {"data": b"[1]\n", "headers": {"Content-Type": "application/x-ndjson", "Prefer": "respond-async"}}
    resumable = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "5",
        "Upload-Metadata": f"model {base64.b64encode(name.encode()).decode()}",
    }
    asked = [
        predict(later, name, digits),
        predict(later, name, digits),
        predict(later, name, digits, Prefer="respond-async"),
        later.call("POST", f"/model/{name}/predict", **rows),
        later.call("GET", f"/v2/models/{name}/ready"),
        later.call("POST", f"/model/{name}/upload", data=digits.bundle),
        later.call("POST", f"/model/{name}/upload", files={"file": digits.bundle}),
        later.call("POST", "/uploads", headers=resumable),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in asked] == [(409, CODE)] * len(asked)
    detail = asked[0].json()["detail"]
    assert all(word in detail for word in ("'sklearn'", name, "are: other.", "MLHUB_BACKENDS", "PUT /model/"))


def test_all_else_goes_on(later: Any, name: str, digits: Any) -> None:
    assert later.call("GET", f"/model/{name}").json()["backend"] == "sklearn"
    assert later.call("GET", f"/model/{name}/download").content == digits.bundle
    for path in ("/models", f"/model/{name}/export", "/monitor", "/status"):
        assert later.call("GET", path).status_code == 200, path
    for path in ("/backends", "/queues", "/metrics"):
        # Right after its start a process has not heard of all parts yet.
        later.wait_until(lambda path=path: later.call("GET", path).status_code == 200, path)
    written = later.call("PUT", f"/model/{name}", json={"backend": "sklearn", "description": "kept"})
    assert (written.status_code, written.json()["description"]) == (200, "kept")


def test_a_prediction_that_was_accepted_before_waits_for_it(
    hub: Any, later: Any, name: str, digits: Any
) -> None:
    hub.parts["jobs"].stop()
    try:
        accepted = predict(hub, name, digits, Prefer="respond-async").json()
        assert later.call("GET", f"/predictions/{accepted['id']}").json()["status"] == "starting"
    finally:
        hub.parts["jobs"].start()
    done = hub.call("GET", f"/predictions/{accepted['id']}", headers={"Prefer": "wait=120"}).json()
    assert (done["status"], done["output"]) == ("succeeded", digits.expected[0])


def test_an_upload_in_pieces_is_kept_until_it_is_back(hub: Any, later: Any, name: str, digits: Any) -> None:
    content = digits.bundle + b"\0"
    told = {
        "Upload-Length": str(len(content)),
        "Upload-Metadata": f"model {base64.b64encode(name.encode()).decode()}",
    }
    place = hub.call("POST", "/uploads", headers=told).headers["Location"]

    def send(to: Any, offset: int) -> requests.Response:
        headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        answer: requests.Response = to.call("PATCH", place, data=content[offset:], headers=headers)
        return answer

    refused = send(later, 0)
    assert (refused.status_code, refused.json()["code"]) == (409, CODE)
    # All of it is there; what is left to do is to make a version of it.
    assert send(hub, len(content)).status_code == 204
    assert hub.call("GET", place).json()["version"]["version"] == "2"


def test_it_moves_to_another_backend_and_back(hub: Any, later: Any, name: str, digits: Any) -> None:
    moved = later.call("PUT", f"/model/{name}", json={"backend": OTHER}).json()
    assert (moved["backend"], moved["state"], moved["versions"][0]["state"]) == (
        OTHER,
        "validating",
        "validating",
    )
    # To the other API, it is this backend that was taken out.
    refused = hub.call("POST", f"/model/{name}/upload", data=digits.bundle)
    assert (refused.status_code, refused.json()["code"]) == (409, CODE)
    assert hub.call("PUT", f"/model/{name}", json={"backend": "sklearn"}).status_code == 200
    hub.wait_until(lambda: predict(hub, name, digits).status_code == 200, "a prediction")
    assert predict(hub, name, digits).json()["output"] == digits.expected[0]


def test_it_can_be_removed(hub: Any, later: Any, name: str) -> None:
    assert later.call("DELETE", f"/model/{name}").status_code == 204
    assert later.call("GET", f"/model/{name}").status_code == 404
    assert hub.call("GET", f"/model/{name}").status_code == 404


def test_models_of_backends_that_are_not_configured_are_found(hub: Any, name: str) -> None:
    environment = hub.parts["api"].environment
    database = connect(environment["MLHUB_MONGODB_URL"], environment["MLHUB_DATABASE"])
    with database.client:
        assert "sklearn" not in stranded(database, {"sklearn"})
        assert name in stranded(database, {OTHER})["sklearn"]
