"""The Python client against a running hub."""

import hashlib
import io
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlhub.client import Client, HubError


@pytest.fixture
def client(hub: Any) -> Iterator[Client]:
    with Client(hub.url) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A model's name that nothing else uses."""
    return f"m-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def bundle_file(tmp_path: Path, digits: Any) -> Path:
    path = tmp_path / "digits.tar.gz"
    path.write_bytes(digits.bundle)
    return path


def test_an_entry_is_created_read_changed_and_deleted(client: Client, name: str) -> None:
    created = client.create(name, "scikitlearn", meta={"depth": 3}, tags=["a", "b"], description="one")
    assert (created.model, created.type, created.state) == (name, "ScikitLearn", "empty")
    changed = client.update(name, description="two")
    assert (changed.description, changed.meta, changed.tags) == ("two", {"depth": 3}, ("a", "b"))
    assert client.model(name) == changed
    client.delete(name)
    with pytest.raises(HubError) as caught:
        client.model(name)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert caught.value.request_id


def test_listing_follows_the_pages_to_the_end(client: Client, name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("mlhub.client.calls._PAGE", 2)
    names = [f"{name}-{number}" for number in range(5)]
    for one in names:
        client.create(one, "ScikitLearn", tags=[name])
    assert [model.model for model in client.models(tag=name)] == names
    assert [model.model for model in client.models(tag=name, limit=3)] == names[:3]
    assert [model.model for model in client.models(tag=name, type="ScikitLearn", state="ready")] == []


def test_a_bundle_comes_back_as_it_was_sent(
    client: Client, name: str, bundle_file: Path, tmp_path: Path
) -> None:
    client.create(name, "ScikitLearn")
    seen: list[tuple[int, int | None]] = []
    version = client.upload(name, bundle_file, progress=lambda done, total: seen.append((done, total)))
    size = bundle_file.stat().st_size
    assert (version.model, version.version, version.state) == (name, "1", "ready")
    assert version.bundle is not None
    assert version.bundle.sha256 == hashlib.sha256(bundle_file.read_bytes()).hexdigest()
    assert version.signature is not None
    assert seen[-1] == (size, size)
    target = client.download(name, tmp_path / "copy.tar.gz")
    assert target.read_bytes() == bundle_file.read_bytes()
    folder = tmp_path / "folder"
    folder.mkdir()
    assert client.download(name, folder, "1").name == f"{name}-1.tar.gz"
    assert [one.version for one in client.versions(name)] == ["1"]


def test_the_same_content_again_is_the_same_version(client: Client, name: str, bundle_file: Path) -> None:
    client.create(name, "ScikitLearn")
    first = client.upload(name, bundle_file, "v1")
    assert client.upload(name, bundle_file, "v1") == first
    client.delete_version(name, "v1")
    assert client.versions(name) == []


def test_a_bundle_can_come_from_a_file_that_has_no_end_yet(client: Client, name: str, digits: Any) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    client.create(name, "ScikitLearn")
    assert client.upload(name, Pipe(digits.bundle)).state == "ready"


def test_an_upload_without_waiting_returns_at_once_and_becomes_ready(
    client: Client, name: str, bundle_file: Path
) -> None:
    client.create(name, "ScikitLearn")
    assert client.upload(name, bundle_file, wait=0).state in {"validating", "ready"}
    # The same again waits for what was not waited for before.
    assert client.upload(name, bundle_file, "1").state == "ready"


def test_what_is_no_archive_is_refused_before_it_is_sent(client: Client, name: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no archive")
    with pytest.raises(HubError) as caught:
        client.upload(name, path)
    assert (caught.value.status, caught.value.code) == (None, "not_an_archive")


def test_a_bundle_without_a_model_fails_with_the_reason(client: Client, name: str, make_bundle: Any) -> None:
    client.create(name, "ScikitLearn")
    with pytest.raises(HubError, match=r"(?i)skops") as caught:
        client.upload(name, io.BytesIO(make_bundle({"readme.txt": b"nothing"})))
    assert caught.value.code == "validation_failed"
    assert client.versions(name)[0].state == "failed"


def test_an_upload_to_a_model_that_is_not_there_says_so(client: Client, name: str) -> None:
    with pytest.raises(HubError) as caught:
        # More than what fits into the buffers of a connection.
        client.upload(name, io.BytesIO(b"\x1f\x8b" + bytes(30_000_000)))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_download_that_does_not_exist_leaves_no_file(client: Client, name: str, tmp_path: Path) -> None:
    client.create(name, "ScikitLearn")
    with pytest.raises(HubError, match="no ready version"):
        client.download(name, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["array", "float32", "list", "tuples", "rows"])
def test_several_rows_give_an_array_of_answers(
    client: Client, published: str, digits: Any, kind: str
) -> None:
    rows = {
        "array": digits.rows,
        "float32": digits.rows.astype("f4"),
        "list": digits.rows.tolist(),
        "tuples": tuple(tuple(row) for row in digits.rows),
        "rows": list(digits.rows),
    }[kind]
    answer = client.predict(published, rows)
    assert isinstance(answer, np.ndarray)
    assert answer.dtype.kind == "i"
    assert answer.tolist() == digits.expected


def test_one_row_gives_one_answer(client: Client, published: str, digits: Any) -> None:
    answer = client.predict(published, digits.rows[0], version="1", wait=120)
    assert answer.shape == ()
    assert int(answer) == digits.expected[0]
    assert client.ask(published, digits.rows[0]).version == "1"


def test_inputs_by_name_give_outputs_by_name_in_their_own_types(
    client: Client, published: str, digits: Any
) -> None:
    signature = client.version(published).signature
    assert signature is not None
    outputs = client.infer(published, {signature.inputs[0].name: digits.rows})
    first = signature.outputs[0]
    assert outputs[first.name].tolist() == digits.expected
    assert outputs[first.name].dtype == np.dtype("int64")


def test_outputs_may_be_asked_for_by_name(client: Client, published: str, digits: Any) -> None:
    outputs = client.infer(published, {"x": digits.rows}, outputs=["predict_proba"])
    assert list(outputs) == ["predict_proba"]
    expected = digits.estimator.predict_proba(digits.rows)
    np.testing.assert_allclose(outputs["predict_proba"], expected)
    with pytest.raises(HubError, match="no output 'odd'"):
        client.infer(published, {"x": digits.rows}, outputs=["odd"])


def test_rows_that_do_not_fit_are_named(client: Client, published: str) -> None:
    with pytest.raises(HubError) as caught:
        client.predict(published, [1.0, 2.0])
    assert caught.value.status == 422
    assert caught.value.fields[0].pointer == "/input"


def test_rows_that_json_cannot_carry_are_not_sent(client: Client, published: str) -> None:
    with pytest.raises(HubError, match="infinity") as caught:
        client.predict(published, np.full(64, np.inf))
    assert caught.value.status is None


def test_a_submitted_prediction_gives_its_result_later(client: Client, published: str, digits: Any) -> None:
    job = client.submit(published, digits.rows)
    assert job.result(60).tolist() == digits.expected
    assert job.status() == "succeeded"
    record = client.prediction(job.id)
    assert (record.model, record.version, record.ended) == (published, "1", True)
    assert client.job(job.id).result().tolist() == digits.expected
    assert job.id in [one.id for one in client.predictions(published, "succeeded")]
    with pytest.raises(HubError) as caught:
        job.cancel()
    assert caught.value.status == 409


def test_a_prediction_can_be_submitted_with_inputs_by_name(
    client: Client, published: str, digits: Any
) -> None:
    signature = client.version(published).signature
    assert signature is not None
    job = client.submit(published, {signature.inputs[0].name: digits.rows})
    assert job.outputs(60)[signature.outputs[0].name].tolist() == digits.expected
    if len(signature.outputs) == 1:
        assert job.result().tolist() == digits.expected


def test_many_threads_share_a_client(client: Client, published: str, digits: Any) -> None:
    def predict(index: int) -> int:
        return int(client.predict(published, digits.rows[index]))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(predict, range(100))) == digits.expected


def test_the_status_names_the_parts(client: Client) -> None:
    status = client.status()
    assert status.ready
    assert {"broker", "database", "store", "sklearn"} <= {part.name for part in status.parts}
    assert client.ready()


def test_where_no_hub_is_the_error_says_what_to_do(free_address: str) -> None:
    with Client(free_address, retries=0) as client:
        assert not client.ready()
        with pytest.raises(
            HubError, match=r"^No hub answers at http://.*; start one with `mlhub up`"
        ) as caught:
            client.status()
    assert caught.value.status is None


def test_a_prediction_waits_out_a_worker_that_is_away(
    client: Client, hub: Any, published: str, digits: Any
) -> None:
    hub.parts["predict"].stop()
    try:
        with pytest.raises(HubError) as caught:
            client.predict(published, digits.rows[0], wait=1)
        assert caught.value.status == 504
    finally:
        hub.parts["predict"].start()
        hub.wait_until_ready()
    assert int(client.predict(published, digits.rows[0])) == digits.expected[0]
