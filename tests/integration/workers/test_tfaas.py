"""The adapter to TFaaS against a double that behaves as its source says, the unpleasant parts too."""

import io
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlhub.common import logs, tensor
from mlhub.common.backend import BackendSettings
from mlhub.common.batch import BatchRequest
from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    BackendTimeoutError,
    BackendUnreachableError,
    NotDeployedError,
)
from mlhub.common.signature import ANY, TensorSpec
from mlhub.common.tracing import TRACEPARENT
from mlhub.workers.adapters import create_adapter
from mlhub.workers.adapters.base import BackendAdapter, RowsError
from mlhub.workers.batch import run_batch

V1 = "1-aaaaaaaa"
NAME = "my__model_v1_daaaaaaaa"
"""What TFaaS calls version 1 of the model `my_model`."""
PNG = b"\x89PNG\r\n\x1a\n picture"
JPEG = b"\xff\xd8\xff picture"


def adapter_to(*servers: Any, timeout: float = 60, **options: Any) -> BackendAdapter:
    return create_adapter(
        BackendSettings(
            protocol="tfaas",
            addresses=tuple(server.address for server in servers),
            timeout=timeout,
            options=options,
        )
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return bundle(tmp_path / "files")


def bundle(folder: Path, scale: int = 1, width: int = 3, **more: Any) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(json.dumps({"width": width, "scale": scale, **more}))
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


@pytest.fixture
def adapter(tfaas: Any, files: Path) -> BackendAdapter:
    made = adapter_to(tfaas)
    made.deploy("my_model", V1, files)
    return made


def predict(adapter: BackendAdapter, rows: NDArray[Any], deployment: str = V1) -> NDArray[Any]:
    (found,) = adapter.predict("my_model", deployment, [tensor.encode("x", rows)])
    return tensor.decode(found)


ROWS = np.arange(300, dtype="<f4").reshape(100, 3)
EXPECTED = np.stack([ROWS.sum(axis=1), ROWS.max(axis=1)], axis=1)


def test_what_was_uploaded_has_the_layout_it_wants(tfaas: Any, adapter: BackendAdapter) -> None:
    with tarfile.open(fileobj=io.BytesIO(tfaas.uploads[0])) as archive:
        members = [(member.name, member.isdir()) for member in archive]
    assert members[:2] == [(NAME, True), (f"{NAME}/variables", True)]
    assert not any(folder for _, folder in members[2:])
    assert {name for name, _ in members[2:]} == {
        f"{NAME}/{name}"
        for name in ("labels.txt", "params.json", "saved_model.pb", "variables/variables.index")
    }
    params = json.loads((tfaas.folder / NAME / "params.json").read_text())
    assert params["name"] == NAME
    assert params.keys() >= {"model", "labels", "input_name", "output_name", "img_channels", "description"}
    assert adapter.ready("my_model", V1)
    assert not adapter.ready("my_model", "2-bbbbbbbb")


def test_what_the_bundle_says_of_itself_is_kept(tfaas: Any, tmp_path: Path) -> None:
    files = bundle(tmp_path / "files")
    own = {"name": "mine", "description": "of the bundle", "labels": "classes.txt", "extra": 1}
    (files / "params.json").write_text(json.dumps(own))
    (files / "classes.txt").write_text("a\nb\n")
    adapter_to(tfaas).deploy("my_model", V1, files)
    params = json.loads((tfaas.folder / NAME / "params.json").read_text())
    assert (params["name"], params["description"], params["labels"], params["extra"]) == (
        NAME,
        "of the bundle",
        "classes.txt",
        1,
    )


def test_labels_of_the_description_become_its_file(tfaas: Any, tmp_path: Path) -> None:
    files = bundle(tmp_path / "files")
    (files / "mlhub.json").write_text('{"labels": ["cat", "dog"]}')
    (files / "params.json").write_text('{"labels": "../../etc/passwd"}')
    adapter_to(tfaas).deploy("my_model", V1, files)
    assert (tfaas.folder / NAME / "labels.txt").read_text() == "cat\ndog\n"


def test_params_that_are_none_are_refused(tfaas: Any, tmp_path: Path) -> None:
    files = bundle(tmp_path / "files")
    (files / "params.json").write_text("[]")
    with pytest.raises(BackendRefusedError, match=r"params\.json is wrong"):
        adapter_to(tfaas).deploy("my_model", V1, files)


def test_rows_come_back_in_order_over_few_kept_connections(tfaas: Any, files: Path) -> None:
    adapter = adapter_to(tfaas, connections=4)
    adapter.deploy("my_model", V1, files)
    before = tfaas.connections
    tfaas.delay = 0.002
    for _ in range(3):
        np.testing.assert_allclose(predict(adapter, ROWS), EXPECTED)
    assert 1 < tfaas.most_predicting <= 4
    assert tfaas.connections - before <= 4
    assert tfaas.calls.count("POST /predict/json") == 300


def test_the_call_for_each_row_says_whom_it_is_for(adapter: BackendAdapter, tfaas: Any) -> None:
    token = TRACEPARENT.set("span")
    try:
        with logs.working_for(["one", "two"]):
            predict(adapter, ROWS)
    finally:
        TRACEPARENT.reset(token)
    predict(adapter, ROWS)
    assert tfaas.named == {("one,two", "span"), (None, None)}


def test_integers_and_rows_of_several_dimensions_are_sent_flat(adapter: BackendAdapter) -> None:
    rows = np.arange(6, dtype="<i8").reshape(2, 3, 1)
    np.testing.assert_allclose(predict(adapter, rows), [[3, 2], [12, 5]])


@pytest.mark.parametrize("bad", [-500.0, 1e300])
def test_one_bad_row_fails_alone(bad: float, adapter: BackendAdapter) -> None:
    rows = ROWS.astype("<f8")
    rows[41, 0] = bad
    with pytest.raises(RowsError) as caught:
        predict(adapter, rows)
    assert list(caught.value.errors) == [41]
    np.testing.assert_allclose(
        tensor.decode(caught.value.outputs[0]), np.delete(EXPECTED, 41, axis=0), err_msg="the others"
    )


def test_in_a_batch_the_other_requests_have_their_answers(adapter: BackendAdapter) -> None:
    rows = ROWS[:6].copy()
    rows[2, 0] = -500.0
    reply = run_batch(adapter, BatchRequest("my_model", V1, (tensor.encode("x", rows),), (2, 2, 1, 1)))
    assert [part.count for part in reply.parts] == [1, 1, 1, 1]
    assert [part.code for part in reply.parts] == ["", "backend_failed", "", ""]
    assert "unable to make predictions" in reply.parts[1].detail
    found = [tensor.decode(part.outputs[0]).tolist() for part in reply.parts if not part.code]
    assert found == [EXPECTED[:2].tolist(), EXPECTED[4:5].tolist(), EXPECTED[5:6].tolist()]


def test_a_model_that_cannot_run_is_said_and_the_server_is_not_lost(adapter: BackendAdapter) -> None:
    with pytest.raises(BackendError, match="serving_default_inputs_input") as caught:
        predict(adapter, np.zeros((1, 5), "<f4"))
    assert type(caught.value) is BackendError
    np.testing.assert_allclose(predict(adapter, ROWS), EXPECTED)


def test_a_500_of_a_model_that_is_not_there_is_told_from_others(adapter: BackendAdapter) -> None:
    with pytest.raises(NotDeployedError):
        predict(adapter, ROWS, "2-bbbbbbbb")
    with pytest.raises(
        BackendError, match="status 500: PredictHandler: unable to make predictions"
    ) as caught:
        predict(adapter, np.array([[-500.0, 0, 0]], "<f4"))
    assert type(caught.value) is BackendError


def test_busy_is_tried_again_until_all_rows_are_through(tfaas: Any, adapter: BackendAdapter) -> None:
    tfaas.limit = 20
    np.testing.assert_allclose(predict(adapter, ROWS), EXPECTED)
    assert tfaas.busy > 3


def test_busy_for_too_long_is_said(tfaas: Any, files: Path) -> None:
    adapter_to(tfaas).deploy("my_model", V1, files)
    adapter = adapter_to(tfaas, timeout=0.4)
    tfaas.always_busy = True
    with pytest.raises(BackendUnreachableError, match="too busy: Limit exceeded"):
        predict(adapter, ROWS[:1])


def test_a_new_version_is_never_answered_from_the_cache_of_another(
    tfaas: Any, adapter: BackendAdapter, tmp_path: Path
) -> None:
    np.testing.assert_allclose(predict(adapter, ROWS), EXPECTED)
    adapter.deploy("my_model", "2-bbbbbbbb", bundle(tmp_path / "second", scale=2))
    np.testing.assert_allclose(predict(adapter, ROWS, "2-bbbbbbbb"), EXPECTED * [2, 1])
    np.testing.assert_allclose(predict(adapter, ROWS), EXPECTED)
    assert len(tfaas.cache) == 2


def test_uploads_go_one_at_a_time(tfaas: Any, files: Path) -> None:
    adapters = [adapter_to(tfaas) for _ in range(2)]
    threads = [
        threading.Thread(target=adapters[k % 2].deploy, args=("my_model", f"{k}-aaaaaaaa", files))
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tfaas.most_uploads == 1
    assert len(adapters[0].deployments()) == 4


def test_deployments_are_what_all_servers_have(
    tfaas: Any, another_tfaas: Any, files: Path, adapter: BackendAdapter
) -> None:
    assert adapter_to(another_tfaas).deployments() == frozenset(), "null when empty"
    both = adapter_to(tfaas, another_tfaas)
    assert both.deployments() == frozenset()
    both.deploy("dots.and-dashes", V1, files)
    foreign = bundle(tfaas.folder / "foreign")
    (foreign / "params.json").write_text('{"name": "foreign"}')
    assert both.deployments() == {("dots.and-dashes", V1)}
    assert adapter.deployments() == {("dots.and-dashes", V1), ("my_model", V1)}
    both.undeploy("dots.and-dashes", V1)
    assert both.deployments() == frozenset()
    both.undeploy("dots.and-dashes", V1)


def test_a_foreign_model_without_params_is_named_as_the_reason(tfaas: Any, adapter: BackendAdapter) -> None:
    bundle(tfaas.folder / "foreign")
    with pytest.raises(BackendError, match=r"params\.json; remove that one: Unable to get"):
        adapter.deployments()
    assert adapter.ready("my_model", V1), "single versions can be asked for all the same"


def test_a_version_stays_until_every_server_was_told(
    tfaas: Any, another_tfaas: Any, adapter: BackendAdapter, files: Path
) -> None:
    both = adapter_to(tfaas, another_tfaas)
    both.deploy("my_model", V1, files)
    another_tfaas.stop()
    try:
        with pytest.raises(BackendUnreachableError):
            both.undeploy("my_model", V1)
    finally:
        another_tfaas.start()
    both.undeploy("my_model", V1)
    assert list(another_tfaas.folder.iterdir()) == []


def test_the_signature_is_as_much_as_the_server_knows(
    tfaas: Any, adapter: BackendAdapter, tmp_path: Path
) -> None:
    signature = adapter.signature("my_model", V1)
    assert signature.inputs == (TensorSpec("input", "FP32", (ANY, ANY)),)
    assert signature.batchable
    files = bundle(tmp_path / "pictures")
    (files / "params.json").write_text('{"img_channels": 1}')
    adapter.deploy("pictures", V1, files)
    assert adapter.signature("pictures", V1).inputs == (TensorSpec("image", "BYTES", (ANY,)),)
    with pytest.raises(NotDeployedError):
        adapter.signature("my_model", "2-bbbbbbbb")
    (tfaas.folder / NAME / "params.json").write_text("no JSON")
    with pytest.raises(BackendError, match=r"mlhub\.json as 'signature'"):
        adapter.signature("my_model", V1)


def images(adapter: BackendAdapter, model: str, *pictures: bytes) -> dict[str, list[Any]]:
    rows = np.array(pictures, object)
    found = adapter.predict(model, V1, [tensor.encode("image", rows)])
    return {item.name: tensor.to_list(tensor.decode(item)) for item in found}


def test_pictures_are_sent_as_files_with_the_ending_that_decides(
    adapter: BackendAdapter, tmp_path: Path
) -> None:
    assert images(adapter, "my_model", PNG, JPEG) == {"output": [[len(PNG), 1.0], [len(JPEG), 1.0]]}
    adapter.deploy("old", V1, bundle(tmp_path / "old", old=True))
    assert images(adapter, "old", JPEG) == {"label": [["cat", "dog"]], "probability": [[0.75, 0.25]]}
    with pytest.raises(BackendRefusedError, match="PNG or JPEG"):
        images(adapter, "my_model", b"GIF89a")


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor.encode("a", ROWS), tensor.encode("b", ROWS)],
        [tensor.encode("a", np.array(1.0, "<f4"))],
        [tensor.encode("a", np.array([True]))],
    ],
)
def test_what_it_cannot_take_is_refused(inputs: list[Any], adapter: BackendAdapter) -> None:
    with pytest.raises(BackendRefusedError, match="TFaaS takes"):
        adapter.predict("my_model", V1, inputs)


def test_its_one_output_has_any_name_but_is_only_one(adapter: BackendAdapter) -> None:
    inputs = [tensor.encode("x", ROWS)]
    assert [item.name for item in adapter.predict("my_model", V1, inputs, ["dense"])] == ["dense"]
    with pytest.raises(BackendRefusedError, match="no 'other'"):
        adapter.predict("my_model", V1, inputs, ["output", "other"])


def test_a_server_that_goes_away_and_comes_back(tfaas: Any, adapter: BackendAdapter) -> None:
    adapter.probe()
    tfaas.stop()
    try:
        with pytest.raises(BackendUnreachableError, match="is it running"):
            predict(adapter, ROWS)
        with pytest.raises(BackendUnreachableError):
            adapter.probe()
    finally:
        tfaas.start()
    np.testing.assert_allclose(predict(adapter, ROWS), EXPECTED)


def test_a_server_that_is_too_slow_is_a_timeout(tfaas: Any, files: Path) -> None:
    adapter_to(tfaas).deploy("my_model", V1, files)
    tfaas.delay = 1.0
    with pytest.raises(BackendTimeoutError):
        predict(adapter_to(tfaas, timeout=0.5), ROWS[:20])
    assert tfaas.calls.count("POST /predict/json") < 20, "the rest is not asked for"


def test_two_servers_share_the_rows_and_one_may_go(tfaas: Any, another_tfaas: Any, files: Path) -> None:
    both = adapter_to(tfaas, another_tfaas)
    both.deploy("my_model", V1, files)
    np.testing.assert_allclose(predict(both, ROWS), EXPECTED)
    counts = [server.calls.count("POST /predict/json") for server in (tfaas, another_tfaas)]
    assert min(counts) > 20
    another_tfaas.stop()
    try:
        np.testing.assert_allclose(predict(both, ROWS), EXPECTED)
    finally:
        another_tfaas.start()
