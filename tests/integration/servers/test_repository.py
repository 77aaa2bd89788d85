"""A real server's models: loaded on demand, side by side, bounded, and never in each other's way."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from mlhub.common import oip, oipshared, tensor
from mlhub.common.oipshared import SharedCall, SharedRequest

WIDTH = 40_000


def wide(seed: int) -> Ridge:
    """Train a model that takes about 320 kB of memory."""
    rows = np.random.default_rng(seed).normal(size=(3, WIDTH))
    return Ridge().fit(rows, [0.0, 1.0, 2.0])


def test_the_least_recently_used_version_makes_room_and_comes_back(start: Any) -> None:
    server = start("--max-memory", "1")
    models = {str(seed): wide(seed) for seed in range(4)}
    for version, model in models.items():
        server.save(f"wide/{version}", model)
    row = np.ones((1, WIDTH))

    def ask(version: str) -> None:
        answer = server.infer(f"wide/versions/{version}", row)["predict"]
        np.testing.assert_array_equal(answer, models[version].predict(row))

    def ready() -> set[str]:
        return {path[-1] for path, state in server.states().items() if state == "READY"}

    assert ready() == set()
    for version in "012":
        ask(version)
    assert ready() == {"0", "1", "2"}
    ask("0")
    ask("3")
    assert ready() == {"0", "2", "3"}
    ask("1")
    assert ready() == {"0", "1", "3"}
    answer = server.post("/v2/repository/index", {"ready": True}).json()
    assert {item["version"] for item in answer} == {"0", "1", "3"}


def test_load_and_unload_are_what_the_index_shows(start: Any, trained: Any) -> None:
    server = start()
    server.save("digits/1-aa", trained.plain)
    server.save("digits/2-bb", trained.scaled)
    given = {"parameters": {"version": "1-aa"}}
    assert server.post("/v2/repository/models/digits/load", given).status_code == 200
    assert server.states() == {"digits/1-aa": "READY", "digits/2-bb": "UNAVAILABLE"}
    assert server.post("/v2/repository/models/digits/load").status_code == 200
    assert server.states() == {"digits/1-aa": "READY", "digits/2-bb": "READY"}
    assert server.post("/v2/repository/models/digits/unload", given).status_code == 200
    assert server.states() == {"digits/1-aa": "UNAVAILABLE", "digits/2-bb": "READY"}
    assert server.post("/v2/repository/models/digits/unload").status_code == 200
    assert set(server.states().values()) == {"UNAVAILABLE"}
    assert server.post("/v2/repository/models/nobody/unload").status_code == 200
    server.infer("digits/versions/1-aa", trained.rows)


def test_a_removed_version_is_gone_and_a_replaced_one_is_new(start: Any, trained: Any) -> None:
    server = start()
    server.save("digits/1", trained.plain)
    server.save("digits/2", trained.plain)
    server.infer("digits/versions/1", trained.rows)
    server.infer("digits/versions/2", trained.rows)
    shutil.rmtree(server.models / "digits/1")
    shutil.rmtree(server.models / "digits/2")
    server.save("digits/2", trained.scaled)
    gone = "/v2/models/digits/versions/1/ready"
    server.wait_until(lambda: server.get(gone).status_code == 404, "the end of a removed version")
    expected = trained.scaled.predict_proba(trained.rows).tolist()

    def is_new() -> bool:
        answer = server.infer("digits/versions/2", trained.rows, "predict_proba")
        return bool(answer["predict_proba"].tolist() == expected)

    server.wait_until(is_new, "the replaced version")


def test_without_a_version_a_newer_one_takes_over(start: Any, trained: Any) -> None:
    server = start()
    server.save("digits/1", trained.plain)
    server.infer("digits", trained.rows)
    server.save("digits/2", trained.scaled)

    def newest() -> str:
        path = "/v2/models/digits/infer"
        given = {"inputs": [{"name": "input", "shape": [1, 64], "datatype": "FP64", "data": [0] * 64}]}
        return str(server.post(path, given).json()["model_version"])

    server.wait_until(lambda: newest() == "2", "the newer version")


def test_the_log_names_those_that_a_model_is_loaded_for(start: Any, trained: Any) -> None:
    server = start()
    for name in ("a", "b", "c", "d"):
        server.save(f"{name}/1", trained.plain)
    text, length = oip.encode_request([tensor.encode("input", trained.rows)], (), binary=True)
    together = [SharedRequest(name, "1", length, text, f"for-{name}") for name in ("a", "b")]
    call = SharedCall(tuple(together), 60.0)
    server.post(oipshared.PATH, oipshared.ENCODER.encode(call), headers={"X-Request-ID": "for-both"})
    server.post("/v2/repository/models/c/load", headers={"X-Request-ID": "one,two"})
    server.post("/v2/repository/models/d/load", headers={"X-Request-ID": "a] forged [b"})
    for name, ids in {"a": "for-a", "b": "for-b", "c": "one,two", "d": "-"}.items():
        assert f"[{ids}] loaded {name} version 1" in server.log


def test_loading_one_model_keeps_nobody_from_another(start: Any, trained: Any, tmp_path: Path) -> None:
    server = start("--allow-pickles")
    server.save("digits/1", trained.plain)
    server.infer("digits", trained.rows)
    gate = tmp_path / "gate"
    server.save_pickle("slow/1", trained.slow_to_load(gate))
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(server.get, "/v2/models/slow/versions/1") for _ in range(4)]
        try:
            server.wait_until(lambda: server.states()["slow/1"] == "LOADING", "loading")
            for _ in range(20):
                server.infer("digits/versions/1", trained.rows)
            assert not any(load.done() for load in loads)
        finally:
            gate.touch()
        assert {load.result().status_code for load in loads} == {200}
    # Four first uses at once were one load.
    assert server.log.count("loaded slow version 1") == 1


def test_a_slow_answer_keeps_nobody_from_another_model(start: Any, trained: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = start("--allow-pickles")
    server.save("digits/1", trained.plain)
    server.save_pickle("naps/1", trained.slow_to_answer(gate))
    server.infer("digits", trained.rows)
    server.infer("naps", np.zeros((1, 1)))
    with ThreadPoolExecutor(2) as pool:
        naps = [pool.submit(server.infer, "naps", np.full((1, 1), 2.0)) for _ in range(2)]
        try:
            for _ in range(20):
                server.infer("digits", trained.rows)
            assert not any(nap.done() for nap in naps)
        finally:
            gate.touch()
        assert [nap.result()["transform"].item() for nap in naps] == [2.0, 2.0]


def test_answers_to_many_clients_at_once_are_each_ones_own(server: Any, trained: Any) -> None:
    expected = {"1-aa": trained.plain.predict_proba, "2-bb": trained.scaled.predict_proba}

    def ask(index: int) -> None:
        version = ("1-aa", "2-bb")[index % 2]
        rows = trained.rows[index % 50 : index % 50 + 1 + index % 7]
        answer = server.infer(f"digits/versions/{version}", rows, "predict_proba", binary=index % 3 > 0)
        np.testing.assert_array_equal(answer["predict_proba"], expected[version](rows))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(400)))
