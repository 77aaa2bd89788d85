"""Entries of models, through the API of a running hub."""

from typing import Any

import pytest


def test_an_entry_lives_through_all_its_calls(hub: Any) -> None:
    created = hub.call(
        "POST", "/model/life", json={"model": "life", "type": "scikitlearn", "meta": {"a.b": 1}}
    )
    assert created.status_code == 201
    assert created.headers["Location"] == "/model/life"
    assert created.json()["type"] == "ScikitLearn"
    assert created.json()["state"] == "empty"

    changed = hub.call("PUT", "/model/life", json={"description": "x", "tags": ["t"]})
    assert changed.status_code == 200
    assert changed.json()["meta"] == {"a.b": 1}, "what is not given stays"
    assert changed.json()["description"] == "x"

    replaced = hub.call("PUT", "/model/life", json={"meta": {"c": 2}})
    assert replaced.json()["meta"] == {"c": 2}, "meta is replaced as a whole"
    assert hub.call("GET", "/model/life").json() == replaced.json()

    assert hub.call("DELETE", "/model/life").status_code == 204
    assert hub.call("GET", "/model/life").status_code == 404
    assert hub.call("DELETE", "/model/life").status_code == 404


def test_meta_data_means_meta(hub: Any) -> None:
    assert hub.create("legacy", meta_data={"k": "v"}).json()["meta"] == {"k": "v"}


def test_a_type_without_a_backend_keeps_its_metadata_and_bundle(hub: Any, digits: Any) -> None:
    assert hub.create("tf", type="TensorFlow").json()["backend"] is None
    uploaded = hub.upload("tf", digits.bundle, wait=0)
    assert uploaded.status_code == 422
    assert "No backend of this hub serves TensorFlow" in uploaded.json()["detail"]
    assert hub.call("GET", "/model/tf/download").content == digits.bundle
    assert hub.call("DELETE", "/model/tf").status_code == 204


def test_an_entry_is_created_once(hub: Any) -> None:
    assert hub.create("once").status_code == 201
    again = hub.create("once")
    assert again.status_code == 409
    assert again.json()["code"] == "model_exists"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_json"),
        (b"{", 400, "bad_json"),
        (b"\xff\xfe", 400, "bad_json"),
        (b"[]", 422, "bad_body"),
        (b"{}", 422, "missing_field"),
        (b'{"type": 3}', 422, "bad_body"),
        (b'{"type": "Fortran"}', 422, "unknown_type"),
        (b'{"type": "Keras", "colour": "red"}', 422, "bad_body"),
        (b'{"type": "Keras", "backend": "nowhere"}', 422, "unknown_backend"),
        (b'{"type": "Keras", "model": "other"}', 422, "name_mismatch"),
        (b'{"type": "Keras", "version": "../x"}', 422, "invalid_version"),
        (b'{"type": "Keras", "meta": {"n": 1e999}}', 422, "bad_body"),
        (b'{"type": "Keras", "meta": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", 400, "bad_json"),
    ],
)
def test_bad_metadata_is_a_problem_and_leaves_nothing(hub: Any, body: bytes, status: int, code: str) -> None:
    answer = hub.call("POST", "/model/bad", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert hub.call("GET", "/model/bad").status_code == 404


@pytest.mark.parametrize("name", ["-x", ".x", "x" * 129, "a%20b", "%00", "..%5c", "m%C3%B6del", "a;b"])
def test_names_that_are_none_are_refused(hub: Any, name: str) -> None:
    answer = hub.call("POST", f"/model/{name}", json={"type": "Keras"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_name")


@pytest.mark.parametrize("name", ["a%2Fb", "..%2f..%2fetc", "a/b"])
def test_names_with_slashes_lead_nowhere(hub: Any, name: str) -> None:
    assert hub.call("GET", f"/model/{name}").status_code == 404


def test_other_media_types_are_refused_with_a_way_out(hub: Any) -> None:
    answer = hub.call("POST", "/model/form", data={"type": "Keras"})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


def test_unknown_routes_and_methods_are_problems(hub: Any) -> None:
    missing = hub.call("GET", "/nothing/here")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = hub.call("PATCH", "/models")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]
    assert wrong.headers["Content-Type"] == "application/problem+json"


def test_entity_tags_guard_against_lost_updates(hub: Any) -> None:
    hub.create("tagged")
    first = hub.call("GET", "/model/tagged")
    tag = first.headers["ETag"]
    assert hub.call("GET", "/model/tagged", headers={"If-None-Match": tag}).status_code == 304
    assert hub.call("PUT", "/model/tagged", json={"meta": {}}, headers={"If-Match": tag}).status_code == 200
    stale = hub.call("PUT", "/model/tagged", json={"meta": {}}, headers={"If-Match": tag})
    assert stale.status_code == 412


def test_request_ids_come_back(hub: Any) -> None:
    given = hub.call("GET", "/models", headers={"X-Request-ID": "mine-1"})
    assert given.headers["X-Request-ID"] == "mine-1"
    insane = hub.call("GET", "/models", headers={"X-Request-ID": "no good\t"})
    assert insane.headers["X-Request-ID"] != "no good\t"


def test_lists_come_in_pages_that_hold_everything_once(hub: Any) -> None:
    names = [f"page-{number:02d}" for number in range(7)]
    for name in names:
        hub.create(name, tags=["paged"], description="Pages of lists")
    seen: list[str] = []
    path = "/models?tag=paged&limit=3"
    while path:
        answer = hub.call("GET", path)
        seen += [entry["model"] for entry in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert seen == names
    newest = hub.call("GET", "/models?tag=paged&sort=-updated_at&limit=1")
    assert [entry["model"] for entry in newest.json()] == ["page-06"]
    found = hub.call("GET", "/models?q=pag+LIST").json()
    assert [entry["model"] for entry in found] == names, "words match by their beginning, in any case"
    assert hub.call("GET", "/models?tag=paged&type=keras").json() == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "limit=99999",
        "sort=size",
        "state=odd",
        "type=odd",
        "tags=paged",
        f"q={'a' * 501}",
    ],
)
def test_bad_parameters_of_lists_are_refused(hub: Any, query: str) -> None:
    assert hub.call("GET", f"/models?{query}").status_code == 422


def test_a_parameter_that_a_list_does_not_have_is_named(hub: Any) -> None:
    for path in ("/models", "/predictions"):
        answer = hub.call("GET", f"{path}?limti=1")
        assert answer.status_code == 422
        assert "no parameter 'limti'; it takes" in answer.json()["detail"]
    assert hub.call("GET", "/v2?limti=1").status_code == 200


def test_what_can_be_read_can_be_looked_at_without_its_body(hub: Any, published: str) -> None:
    for path in (
        f"/model/{published}",
        "/models?limit=1",
        "/predictions",
        f"/v2/models/{published}",
        "/status",
    ):
        whole, head = hub.call("GET", path), hub.call("HEAD", path)
        assert head.status_code == 200, path
        assert head.content == b""
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
        assert head.headers.get("ETag") == whole.headers.get("ETag")
    assert hub.call("HEAD", "/model/nobody").status_code == 404
    assert "HEAD" in hub.call("PATCH", "/models").headers["Allow"]


def test_the_hub_itself_tells_its_addresses(hub: Any) -> None:
    answer = hub.call("GET", "/").json()
    assert answer["name"] == "mlhub"
    assert "GET /models" in answer["addresses"]
    assert "GET / lists" in hub.call("GET", "/nothing").json()["detail"]


def test_a_cursor_that_is_none_is_refused(hub: Any) -> None:
    assert hub.call("GET", "/models?cursor=abc").status_code == 400
