"""What the logs of a hub say: for whom something was done, and nothing that a client or an operator keeps secret."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import kombu
import msgspec
import requests

from mlhub.common import topology
from mlhub.local.ports import free_ports
from tests.integration.conftest import Hub, Part, bundle
from tests.integration.telling import SIGNING, TOKEN, ask

SIGNED: Final = "signature-nobody-may-read"
"""In the address of a webhook."""
PASSWORD: Final = "password-nobody-may-read"
WORD: Final = "word-nobody-may-read"
NUMBER: Final = 271828.25
INPUTS: Final = (WORD, str(NUMBER), "271828")


class Line(msgspec.Struct):
    """A line of a log."""

    level: str
    logger: str
    request_id: str
    message: str


def lines(part: Part) -> list[Line]:
    """Read what a part has logged; what is no JSON was not said by the hub."""
    return [msgspec.json.decode(line, type=Line) for line in part.log.splitlines() if line.startswith("{")]


def named(part: Part) -> set[str]:
    """Return the requests that the lines of a part are about."""
    return {request for line in lines(part) for request in line.request_id.split(",")}


def publish_unknown(broker: Any, queue: str) -> None:
    """Send a task that workers of this version do not have."""
    with kombu.Connection(broker.url) as connection:
        kombu.Producer(connection.default_channel).publish(
            topology.task_body((WORD,)),
            exchange=topology.EXCHANGE.name,
            routing_key=queue,
            content_type=topology.CONTENT_TYPE,
            content_encoding="binary",
            headers=topology.task_headers("1", "of-a-newer-hub", None),
        )


def ended(hub: Hub, location: str) -> dict[str, Any]:
    """Wait for the end of an asynchronous prediction."""
    last: dict[str, Any] = {}

    def has_ended() -> bool:
        last.update(ask(hub, "GET", location).json())
        return last["status"] in {"succeeded", "failed"}

    hub.wait_until(has_ended, f"the end of {location}")
    return last


def test_workers_name_the_requests_of_clients(telling: Hub, digits: Any) -> None:
    server, jobs = telling.parts["server"], telling.parts["jobs"]
    body = {"input": digits.rows[0].tolist()}
    assert ask(telling, "POST", "/model/empty", json={"type": "ScikitLearn"}).status_code == 201
    headers = {"X-Request-ID": "an-upload", "Content-Type": "application/octet-stream", "Prefer": "wait=120"}
    without = bundle({"README.md": b"Nothing else."})
    assert ask(telling, "POST", "/model/empty/upload", headers, data=without).status_code == 422
    telling.wait_until(lambda: "an-upload" in named(jobs), "a line about the upload")
    server.stop(signal.SIGKILL)
    try:

        def predict(name: str) -> int:
            path = "/model/digits/predict"
            status: int = ask(telling, "POST", path, {"X-Request-ID": name}, json=body).status_code
            return status

        names = [f"waiting-{number}" for number in range(16)]
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(predict, names)) == {502}
        headers = {"X-Request-ID": "for-later", "Prefer": "respond-async"}
        later = ask(telling, "POST", "/model/digits/predict", headers, json=body)
        assert later.status_code == 202
        rows = ",".join(map(str, digits.rows[0])) + "\n"
        headers = {"X-Request-ID": "a-file", "Prefer": "respond-async", "Content-Type": "text/csv"}
        file = ask(telling, "POST", "/model/digits/predict", headers, data=rows)
        assert file.status_code == 202
        assert ask(telling, "DELETE", "/model/empty", {"X-Request-ID": "a-removal"}).status_code == 204
        telling.wait_until(lambda: {"for-later", "a-file", "a-removal"} <= named(jobs), "lines about jobs")
    finally:
        server.start()
    assert set(names) <= named(telling.parts["predict"])
    assert set(names) <= named(telling.parts["api"])
    of_one = [line for line in lines(telling.parts["predict"]) if "waiting-0" in line.request_id.split(",")]
    assert any(line.level == "WARNING" and "model server" in line.message for line in of_one)
    for kept in (later, file):
        assert ask(telling, "POST", f"{kept.headers['Location']}/cancel").status_code == 200
    telling.wait_until_ready()


def test_model_servers_name_the_requests_that_they_work_for(telling: Hub, digits: Any) -> None:
    server = telling.parts["server"]
    body = {"input": digits.rows[0].tolist()}
    path = "/model/digits/predict"

    def loads(name: str) -> bool:
        return any("loaded digits" in line.message for line in lines(server) if line.request_id == name)

    for name, prefer in (("loads-at-once", "wait=120"), ("loads-later", "respond-async, wait=120")):
        url = f"{telling.server_url}/v2/repository/models/digits/unload"
        assert requests.post(url, timeout=60).status_code == 200
        answer = ask(telling, "POST", path, {"X-Request-ID": name, "Prefer": prefer}, json=body)
        assert answer.status_code == 200, answer.text
        telling.wait_until(lambda name=name: loads(name), f"the server names {name}")


def test_no_log_has_secrets_or_inputs(telling: Hub, digits: Any, broker: Any, database_server: Any) -> None:
    row = [NUMBER, *digits.rows[0].tolist()[1:]]
    hook = f"http://127.0.0.1:{free_ports(('hook',), {})['hook']}/hook?signature={SIGNED}"
    later = {"Prefer": "respond-async"}

    def predict(model: str, status: int, headers: dict[str, str] | None = None, **body: Any) -> Any:
        answer = ask(telling, "POST", f"/model/{model}/predict", headers, **body)
        assert answer.status_code == status, answer.text
        return answer

    predict("digits", 200, json={"input": row})
    predict("digits", 422, json={"input": row[:-1]})
    predict("digits", 422, json={"input": [WORD] * 64})
    predict(
        "digits", 400, headers={"Content-Type": "application/json"}, data=f'{{"input": [{NUMBER}, "{WORD}'
    )
    predict("nobody", 404, json={"input": row})
    predict("words", 422, json={"input": [WORD]})
    infer = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "BYTES", "data": [WORD]}]}
    assert ask(telling, "POST", "/v2/models/words/infer", json=infer).status_code == 422
    for login in (f"Bearer {PASSWORD}", f"Basic {PASSWORD}"):
        assert ask(telling, "GET", "/models", {"Authorization": login}).status_code == 401
    assert ask(telling, "GET", f"/nothing/{WORD}?key={SIGNED}").status_code == 404

    kept = [
        predict("digits", 202, {**later, "X-Webhook": hook}, json={"input": row}),
        predict("words", 202, {**later, "X-Webhook": hook}, json={"input": [WORD]}),
        predict("words", 202, {**later, "Content-Type": "text/csv"}, data=f"red\n{WORD}\n"),
    ]
    statuses = [ended(telling, answer.headers["Location"])["status"] for answer in kept]
    assert statuses == ["succeeded", "failed", "failed"]
    identity = kept[1].headers["Location"].rpartition("/")[2]
    jobs = telling.parts["jobs"]
    telling.wait_until(lambda: f"webhook of prediction {identity} failed" in jobs.log, "a webhook that fails")

    publish_unknown(broker, "mlhub.telling-sklearn.predict")
    worker = telling.parts["predict"]
    telling.wait_until(lambda: "of-a-newer-hub" in worker.log, "a task that nobody knows")

    server = telling.parts["server"]
    server.stop(signal.SIGKILL)
    try:
        predict("digits", 502, json={"input": row})
    finally:
        server.start()
    telling.wait_until_ready()

    password = broker.url.partition("@")[0].rpartition(":")[2]
    logs = {part.name: part.log for part in telling.parts.values()}
    logs |= {"broker": broker.log, "database": database_server.log}
    for name, log in logs.items():
        assert log or name == "database", name
        for secret in (TOKEN, SIGNING, SIGNED, PASSWORD, password, *INPUTS):
            assert secret not in log, f"{secret} in the log of {name}"


def test_no_log_has_the_password_of_a_connection_that_fails(
    tmp_path: Path, broker: Any, database_server: Any
) -> None:
    name, _, place = broker.url.partition("@")
    ports = free_ports(("api", "objects"), {})
    environment = {
        "MLHUB_BROKER_URL": f"{name.rpartition(':')[0]}:{PASSWORD}@{place}",
        "MLHUB_MONGODB_URL": database_server.url.replace("://", f"://hub:{PASSWORD}@"),
        "MLHUB_RUN_DIR": str(tmp_path),
        "MLHUB_PORT": str(ports["api"]),
        "MLHUB_BUNDLES": "s3://bucket/bundles",
        "MLHUB_S3_ENDPOINT": f"http://127.0.0.1:{ports['objects']}",
        "MLHUB_S3_KEY": "key",
        "MLHUB_S3_SECRET": PASSWORD,
        "MLHUB_BACKENDS": '{"sklearn": {"addresses": ["http://127.0.0.1:9"]}}',
        "MLHUB_LOG_LEVEL": "DEBUG",
    }
    commands: dict[str, tuple[str, ...]] = {
        "api": ("api",),
        "predict": ("worker", "--kind", "predict"),
        "jobs": ("worker", "--kind", "jobs"),
    }
    parts = {part: Part(part, command, environment, tmp_path) for part, command in commands.items()}
    hub = Hub(parts, ports["api"], 0, tmp_path)

    def answers() -> bool:
        try:
            return bool(hub.call("GET", "/health/ready").status_code == 503)
        except requests.ConnectionError:
            return False

    try:
        for part in parts.values():
            part.start()
        hub.wait_until(answers, "the API answers")
        for part in parts.values():
            hub.wait_until(lambda part=part: "ACCESS_REFUSED" in part.log, "a refused login")
    finally:
        for part in parts.values():
            part.stop()
    for part in parts.values():
        assert PASSWORD not in part.log, part.name
