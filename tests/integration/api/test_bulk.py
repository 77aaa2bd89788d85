"""Bulk predictions: a file of rows goes in, its outputs come out in the same order, whatever dies meanwhile."""

import gzip
import io
import json
import signal
from typing import Any

import numpy as np
import pytest
import requests

ASYNC = {"Prefer": "respond-async"}
NPY = "application/x-npy"
LINES = "application/x-ndjson"
CSV = "text/csv"


def saved(rows: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, rows)
    return file.getvalue()


def loaded(answer: requests.Response) -> Any:
    assert answer.ok, answer.text
    return np.load(io.BytesIO(answer.content), allow_pickle=False)


def json_lines(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows.tolist()).encode()


def submit(hub: Any, content: bytes, kind: str, query: str = "", **headers: str) -> requests.Response:
    # What has a length that one prediction could have is none of many rows by itself.
    query = query or ("?bulk=true" if kind == NPY else "")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return hub.call(
        "POST", f"/model/digits/predict{query}", data=content, headers=ASYNC | {"Content-Type": kind} | named
    )


def ended(hub: Any, accepted: requests.Response) -> dict[str, Any]:
    assert accepted.status_code == 202, accepted.text
    shown = hub.call("GET", accepted.headers["Location"], headers={"Prefer": "wait=120"}).json()
    assert shown["status"] in {"succeeded", "failed", "canceled"}, shown
    return shown


def many(digits: Any, count: int) -> Any:
    return np.resize(digits.rows, (count, 64))


def expected(digits: Any, count: int) -> list[int]:
    return np.resize(digits.expected, count).tolist()


def files(hub: Any) -> set[str]:
    return {path.name for path in hub.bundles.glob("??/*")}


def newest(hub: Any) -> list[str]:
    """Return the name of the newest prediction; what it says may still change."""
    return [item["id"] for item in hub.call("GET", "/predictions?limit=1").json()]


def test_an_array_of_many_rows_becomes_an_array_of_outputs(hub: Any, digits: Any, published: str) -> None:
    accepted = submit(hub, saved(many(digits, 50_000).astype("f4")), NPY)
    assert accepted.headers["Preference-Applied"] == "respond-async"
    assert accepted.json()["progress"] == {"done": 0, "total": 50_000}
    shown = ended(hub, accepted)
    assert (shown["status"], shown["error"]) == ("succeeded", None)
    assert shown["progress"] == {"done": 50_000, "total": 50_000}
    assert shown["output"] is None
    output = hub.call("GET", shown["urls"]["output"])
    assert output.headers["Content-Type"] == NPY
    assert loaded(output).tolist() == expected(digits, 50_000)
    listed = hub.call("GET", "/predictions?model=digits&limit=1").json()
    assert listed[0]["progress"] == shown["progress"]


def test_an_output_is_sent_in_ranges_and_not_twice(hub: Any, digits: Any, published: str) -> None:
    shown = ended(hub, submit(hub, saved(many(digits, 40_000)), NPY))
    place = shown["urls"]["output"]
    whole = hub.call("GET", place)
    tag = whole.headers["ETag"]
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    for first, last in ((0, 10), (100, 140_000), (len(whole.content) - 5, len(whole.content) - 1)):
        part = hub.call("GET", place, headers={"Range": f"bytes={first}-{last}", "If-Range": tag})
        assert part.status_code == 206
        assert part.content == whole.content[first : last + 1]
    beyond = hub.call("GET", place, headers={"Range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416
    assert hub.call("GET", place, headers={"If-None-Match": tag}).status_code == 304


def test_lines_of_json_and_csv_are_rows_too(hub: Any, digits: Any, published: str) -> None:
    rows = many(digits, 3000)
    table = "\n".join(",".join(map(repr, row)) for row in rows.tolist())
    heading = ",".join(f"pixel{number}" for number in range(64))
    for content, kind in (
        (json_lines(rows), LINES),
        (f"{heading}\n{table}".encode(), CSV),
    ):
        shown = ended(hub, submit(hub, content, kind))
        assert shown["progress"] == {"done": 3000, "total": 3000}, shown
        output = hub.call("GET", shown["urls"]["output"])
        assert output.headers["Content-Type"] == kind
        assert [int(line) for line in output.text.splitlines()] == expected(digits, 3000)
        as_array = hub.call("GET", shown["urls"]["output"], headers={"Accept": NPY})
        assert loaded(as_array).tolist() == expected(digits, 3000)
    odd = hub.call("GET", shown["urls"]["output"], headers={"Accept": "image/png"})
    assert odd.status_code == 406


def test_events_tell_of_rows_as_they_are_done(hub: Any, digits: Any, published: str) -> None:
    accepted = submit(hub, saved(many(digits, 100_000)), NPY)
    events = hub.call("GET", f"{accepted.headers['Location']}/events").text.splitlines()
    told = [json.loads(line.removeprefix("data: ")) for line in events if line.startswith("data: ")]
    done = [item["progress"]["done"] for item in told]
    assert done == sorted(done)
    assert (told[-1]["status"], done[-1]) == ("succeeded", 100_000)
    assert told[-1]["metrics"]["predict_time"] > 0


def test_another_output_can_be_asked_for(hub: Any, digits: Any, published: str) -> None:
    content = gzip.compress(json_lines(digits.rows))
    shown = ended(hub, submit(hub, content, LINES, "?outputs=predict_proba", Content_Encoding="gzip"))
    output = loaded(hub.call("GET", shown["urls"]["output"], headers={"Accept": NPY}))
    assert np.allclose(output, digits.estimator.predict_proba(digits.rows))
    several = submit(hub, content, LINES, "?outputs=predict,predict_proba", Content_Encoding="gzip")
    assert (several.status_code, several.json()["code"]) == (422, "several_outputs")
    assert submit(hub, content, LINES, "?outputs=odd", Content_Encoding="gzip").status_code == 422


@pytest.mark.parametrize(
    ("content", "kind", "status", "says"),
    [
        (saved(np.zeros((10, 63))), NPY, 422, "shape [64]"),
        (saved(np.zeros((10, 64)))[:-8], NPY, 400, "bytes of elements"),
        (saved(np.array([["x"] * 64])), NPY, 422, "FP64"),
        (b"odd", NPY, 400, "npy"),
        (b"[1,2]\n", LINES, 422, "Row 1"),
        (b"", CSV, 422, "no rows"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_at_once(
    hub: Any, published: str, content: bytes, kind: str, status: int, says: str
) -> None:
    before, kept = newest(hub), files(hub)
    answer = submit(hub, content, kind)
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text
    assert newest(hub) == before
    assert files(hub) <= kept


def test_lines_are_answered_later_only(hub: Any, published: str) -> None:
    answer = hub.call("POST", "/model/digits/predict", data=b"[1]", headers={"Content-Type": LINES})
    assert answer.status_code == 415
    assert "respond-async" in answer.json()["detail"]


def test_a_bad_row_is_named_and_nothing_of_its_file_stays(hub: Any, digits: Any, published: str) -> None:
    kept = files(hub)
    rows = json_lines(many(digits, 40_000)).splitlines(keepends=True)
    rows[30_000] = b"[1, 2]\n"
    shown = ended(hub, submit(hub, b"".join(rows), LINES))
    assert shown["status"] == "failed"
    assert "Row 30001 of the file cannot be used" in shown["error"]
    assert hub.call("GET", shown["urls"]["output"]).status_code == 409
    hub.wait_until(lambda: files(hub) <= kept, "the files are gone")


def test_what_has_not_begun_can_be_cancelled(hub: Any, digits: Any, published: str) -> None:
    kept = files(hub)
    hub.parts["jobs"].stop()
    try:
        accepted = submit(hub, saved(many(digits, 1000)), NPY)
        place = accepted.headers["Location"]
        assert hub.call("POST", f"{place}/cancel").json()["status"] == "canceled"
    finally:
        hub.parts["jobs"].start()
    hub.wait_until(lambda: files(hub) <= kept, "the files are gone")
    shown = hub.call("GET", place).json()
    assert (shown["status"], shown["progress"]["done"]) == ("canceled", 0)
    assert hub.call("POST", f"{place}/cancel").status_code == 409


def test_a_worker_that_is_killed_costs_no_row(hub: Any, digits: Any, published: str) -> None:
    jobs = hub.parts["jobs"]
    jobs.stop()
    try:
        accepted = submit(hub, json_lines(many(digits, 120_000)), LINES)
        place = accepted.headers["Location"]
        jobs.start()
        hub.wait_until(lambda: hub.call("GET", place).json()["progress"]["done"] > 0, "work has begun")
        jobs.stop(signal.SIGKILL)
    finally:
        jobs.start()
    shown = ended(hub, accepted)
    assert shown["status"] == "succeeded", shown
    output = hub.call("GET", shown["urls"]["output"])
    assert [int(line) for line in output.text.splitlines()] == expected(digits, 120_000)


def test_work_goes_on_when_the_model_server_is_back(hub: Any, digits: Any, published: str) -> None:
    server = hub.parts["server"]
    server.stop(signal.SIGKILL)
    try:
        accepted = submit(hub, saved(many(digits, 1000)), NPY)
        place = accepted.headers["Location"]
        hub.wait_until(lambda: hub.call("GET", place).json()["status"] == "processing", "it has begun")
    finally:
        server.start()
    shown = ended(hub, accepted)
    assert loaded(hub.call("GET", shown["urls"]["output"])).tolist() == expected(digits, 1000)


def test_a_repeat_with_its_key_gets_the_first_answer(hub: Any, digits: Any, published: str) -> None:
    content = saved(digits.rows)
    first = submit(hub, content, NPY, Idempotency_Key="bulk")
    again = submit(hub, content, NPY, Idempotency_Key="bulk")
    assert first.headers["Location"] == again.headers["Location"]
    other = submit(hub, saved(digits.rows[:3]), NPY, Idempotency_Key="bulk")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert ended(hub, again)["status"] == "succeeded"


def test_a_prediction_that_has_its_output_in_itself_has_no_file(
    hub: Any, digits: Any, published: str
) -> None:
    accepted = hub.call(
        "POST", "/model/digits/predict", json={"input": digits.rows[0].tolist()}, headers=ASYNC
    )
    ended(hub, accepted)
    assert hub.call("GET", f"{accepted.headers['Location']}/output").status_code == 409
