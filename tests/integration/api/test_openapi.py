"""The description of all calls says what the hub does."""

import io
import re
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from mlhub.api.openapi.calls import CALLS

EXAMPLES = {
    "name": "digits",
    "model": "digits",
    "version": "1",
    "identity": "none",
    "backend": "sklearn",
    "queue": "mlhub.sklearn.predict",
    "worker": "none",
}


@pytest.fixture(scope="module")
def described(hub: Any) -> dict[str, Any]:
    answer = hub.call("GET", "/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json())


def test_each_address_has_the_methods_that_are_described(
    hub: Any, published: str, described: dict[str, Any]
) -> None:
    for path, operations in described["paths"].items():
        address = re.sub(r"\{(\w+)\}", lambda found: EXAMPLES[found[1]], path)
        allowed = hub.call("OPTIONS", address).headers["Allow"].split(", ")
        wanted = {method.upper() for method in operations}
        assert set(allowed) - {"HEAD", "OPTIONS"} == wanted - {"HEAD"}, path


def test_nothing_is_left_out_or_made_up(described: dict[str, Any]) -> None:
    assert described["paths"].keys() == CALLS.keys()
    for path, operations in described["paths"].items():
        assert {method.upper() for method in operations} == CALLS[path].keys(), path


def test_references_lead_somewhere_and_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if "$ref" in part else set()
            return own.union(*(references(item) for item in part.values()))
        return set().union(*(references(item) for item in part)) if isinstance(part, list) else set()

    schemas = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert references(described) <= schemas
    names = [call["operationId"] for calls in described["paths"].values() for call in calls.values()]
    assert len(names) == len(set(names))


def test_answers_have_the_fields_that_are_described(
    hub: Any, published: str, digits: Any, described: dict[str, Any]
) -> None:
    schemas = described["components"]["schemas"]
    row = {"input": digits.rows[0].tolist()}
    later = {"Prefer": "respond-async"}
    answers = {
        "Model": hub.call("GET", f"/model/{published}").json(),
        "Version": hub.call("GET", f"/model/{published}/versions/1").json(),
        "Answer": hub.call("POST", f"/model/{published}/predict", json=row).json(),
        "Prediction": hub.call("POST", f"/model/{published}/predict", json=row, headers=later).json(),
        "Problem": hub.call("GET", "/model/nobody").json(),
    }
    for name, answer in answers.items():
        assert set(schemas[name]["required"]) <= answer.keys() <= set(schemas[name]["properties"]), name


def check(described: dict[str, Any], template: str, answer: Any) -> None:
    """Compare an answer with what is described of its call."""
    what = f"{answer.request.method} {template}: {answer.status_code} {answer.text[:500]}"
    responses = described["paths"][template][answer.request.method.lower()]["responses"]
    expected = responses.get(str(answer.status_code), None if answer.ok else responses["default"])
    assert expected is not None, what
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    assert kind in expected.get("content", {"": None}), what
    if kind in {"application/json", "application/problem+json"}:
        schema = expected["content"][kind]["schema"]
        validator = Draft202012Validator({**schema, "components": described["components"]})
        assert [error.message for error in validator.iter_errors(answer.json())] == [], what
        found = answer.json()
        for item in found if isinstance(found, list) else [found]:
            assert undescribed(described, schema.get("items", schema), item) == set(), what


def undescribed(described: dict[str, Any], schema: Any, item: Any) -> set[str]:
    """Return the fields of an answer that none of its schemas has."""
    named = [part["$ref"] for part in schema.get("anyOf", [schema]) if "$ref" in part]
    if not named:
        return set()
    schemas = [described["components"]["schemas"][name.rpartition("/")[2]] for name in named]
    if any("anyOf" in one for one in schemas):
        return set.intersection(*(undescribed(described, one, item) for one in schemas))
    if not any("properties" in one for one in schemas):
        return set()
    return set(item) - set().union(*(one.get("properties", {}) for one in schemas))


def test_the_description_is_valid(described: dict[str, Any]) -> None:
    validate(described)


def test_what_the_hub_answers_is_as_it_is_described(
    hub: Any, published: str, digits: Any, described: dict[str, Any]
) -> None:
    row = {"input": digits.rows[0].tolist()}
    data = digits.rows[0].tolist()
    tensors = {"inputs": [{"name": "input", "shape": [1, 64], "datatype": "FP64", "data": data}]}
    later = {"Prefer": "respond-async"}
    waiting = {"Prefer": "respond-async, wait=60"}
    array = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
    packed = io.BytesIO()
    np.save(packed, digits.rows[:2])
    identity = hub.call("POST", f"/model/{published}/predict", json=row, headers=waiting).json()["id"]
    lines = b"\n".join(str(line.tolist()).encode() for line in digits.rows[:3])
    bulk = {"Content-Type": "application/x-ndjson", **waiting}
    many = hub.call("POST", f"/model/{published}/predict", data=lines, headers=bulk)
    assert many.json()["status"] == "succeeded", many.text
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "model ZGVzY3JpYmVkLTI="}
    worker = hub.call("GET", "/workers").json()[0]["name"]
    one, version = "/model/{name}", "/model/{name}/versions/{version}"
    content = {"Content-Type": "application/octet-stream"}
    asked: list[tuple[str, str, str, dict[str, Any]]] = [
        ("GET", "/", "/", {}),
        ("GET", "/models", "/models?limit=2", {}),
        ("GET", "/models", "/models?colour=red", {}),
        ("GET", "/models", "/models?limit=000000001000000", {}),
        ("POST", one, "/model/described-2", {"json": {"type": "scikitlearn", "meta": {"a": 1}}}),
        ("POST", one, "/model/described-2", {"json": {"type": "ScikitLearn"}}),
        (
            "POST",
            one,
            "/model/described-3",
            {"data": {"type": "ScikitLearn"}, "files": {"file": digits.bundle}},
        ),
        ("PUT", one, "/model/described-2", {"json": {"tags": ["x"]}}),
        ("POST", f"{one}/upload", "/model/described-2/upload", {"data": digits.bundle, "headers": content}),
        (
            "POST",
            f"{one}/upload",
            "/model/described-2/upload?version=1",
            {"data": digits.bundle, "headers": content},
        ),
        (
            *("POST", f"{one}/upload", "/model/described-2/upload"),
            {"data": digits.bundle, "headers": content | {"Prefer": "wait=60"}},
        ),
        ("GET", one, f"/model/{published}", {}),
        ("GET", f"{one}/versions", f"/model/{published}/versions", {}),
        ("GET", version, f"/model/{published}/versions/1", {}),
        ("GET", f"{one}/download", f"/model/{published}/download", {}),
        ("GET", f"{one}/download", f"/model/{published}/download", {"headers": {"Range": "bytes=0-9"}}),
        ("GET", f"{one}/citation", f"/model/{published}/citation", {}),
        ("GET", f"{one}/export", f"/model/{published}/export", {}),
        ("POST", f"{one}/predict", f"/model/{published}/predict", {"json": row}),
        (
            "POST",
            f"{one}/predict",
            f"/model/{published}/predict",
            {"json": {"input": digits.rows[:2].tolist()}},
        ),
        ("POST", f"{one}/predict", f"/model/{published}/predict", {"json": tensors}),
        ("POST", f"{one}/predict", f"/model/{published}/predict", {"json": {"input": "no"}}),
        ("POST", f"{one}/predict", f"/model/{published}/predict", {"json": row, "headers": later}),
        ("POST", f"{one}/predict", f"/model/{published}/predict", {"json": row, "headers": waiting}),
        (
            "POST",
            f"{one}/predict",
            f"/model/{published}/predict",
            {"data": packed.getvalue(), "headers": array},
        ),
        ("POST", "/predict", "/predict", {"json": row | {"model": published}}),
        ("POST", "/uploads", "/uploads", {"headers": tus}),
        ("GET", "/predictions", "/predictions?limit=3", {}),
        ("GET", "/predictions/{identity}", f"/predictions/{identity}", {}),
        ("GET", "/predictions/{identity}", f"/predictions/{many.json()['id']}", {}),
        ("GET", "/predictions/{identity}/output", f"/predictions/{many.json()['id']}/output", {}),
        ("POST", "/predictions/{identity}/cancel", f"/predictions/{identity}/cancel", {}),
        ("GET", "/health/live", "/health/live", {}),
        ("GET", "/health/ready", "/health/ready", {}),
        ("GET", "/status", "/status", {}),
        ("GET", "/backends", "/backends", {}),
        ("GET", "/backends/{backend}", "/backends/sklearn", {}),
        ("GET", "/backends/{backend}/workers", "/backends/sklearn/workers", {}),
        ("PUT", "/backends/{backend}/workers", "/backends/sklearn/workers", {"json": {"predict": 1}}),
        ("GET", "/queues", "/queues", {}),
        ("GET", "/queues/{queue}", "/queues/mlhub.sklearn.jobs", {}),
        ("GET", "/queues/mlhub.dead/messages", "/queues/mlhub.dead/messages", {}),
        ("GET", "/workers", "/workers", {}),
        ("GET", "/workers/{worker}", f"/workers/{worker}", {}),
        ("GET", "/metrics", "/metrics", {}),
        ("GET", "/v2", "/v2", {}),
        ("GET", "/v2/health/ready", "/v2/health/ready", {}),
        ("GET", "/v2/models/{model}", f"/v2/models/{published}", {}),
        ("GET", "/v2/models/{model}/ready", f"/v2/models/{published}/ready", {}),
        ("GET", "/v2/models/{model}/ready", "/v2/models/nobody/ready", {}),
        ("POST", "/v2/models/{model}/infer", f"/v2/models/{published}/infer", {"json": tensors}),
        (
            "POST",
            "/v2/models/{model}/infer",
            f"/v2/models/{published}/infer",
            {"json": tensors, "headers": later},
        ),
        ("POST", "/v2/repository/index", "/v2/repository/index", {"json": {"ready": True}}),
        ("DELETE", one, "/model/described-3", {}),
    ]
    for method, template, address, options in asked:
        check(described, template, hub.call(method, address, **options))


def test_each_field_that_can_be_set_is_described(hub: Any, described: dict[str, Any]) -> None:
    refused = hub.call("PUT", "/model/digits", json={"colour": "red"})
    assert refused.status_code == 422
    fields = described["components"]["schemas"]["ModelChange"]["properties"]
    hub.create("described")
    for name in fields:
        answer = hub.call("PUT", "/model/described", json={name: None})
        assert "unknown field" not in answer.text, name
