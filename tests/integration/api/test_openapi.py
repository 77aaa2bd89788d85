"""The description of all calls says what the hub does."""

import re
from typing import Any

import pytest

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


def test_each_field_that_can_be_set_is_described(hub: Any, described: dict[str, Any]) -> None:
    refused = hub.call("PUT", "/model/digits", json={"colour": "red"})
    assert refused.status_code == 422
    fields = described["components"]["schemas"]["ModelChange"]["properties"]
    hub.create("described")
    for name in fields:
        answer = hub.call("PUT", "/model/described", json={name: None})
        assert "unknown field" not in answer.text, name
