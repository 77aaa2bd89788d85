"""Versions side by side, what latest means, the steps of validation, cards, citations, exports."""

import io
import tarfile
from typing import Any

import requests
import yaml
from sklearn.naive_bayes import GaussianNB
from skops.io import dumps
from typer.testing import CliRunner


def bundle(files: dict[str, bytes]) -> bytes:
    """Make a tar of files by name."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def constant(value: int, **files: bytes) -> bytes:
    """Make the bundle of a model that always answers `value`."""
    estimator = GaussianNB().fit([[0.0], [1.0]], [value, value])
    return bundle({"model.skops": dumps(estimator), **files})


def answer(hub: Any, name: str, version: str | None = None) -> Any:
    path = f"/model/{name}/predict" + (f"?version={version}" if version else "")
    given = hub.call("POST", path, json={"input": [0.5]})
    return given.json()["output"] if given.ok else given.status_code


def serves(hub: Any) -> bool:
    try:
        return requests.get(f"{hub.server_url}/v2/health/ready", timeout=10).ok
    except requests.RequestException:
        return False


def latest_is(hub: Any, name: str, value: int) -> None:
    # Other processes of the API may know the older one for a moment.
    hub.wait_until(lambda: answer(hub, name) == value, f"latest answers {value}")


def test_versions_are_served_side_by_side_promoted_rolled_back_and_deleted(hub: Any) -> None:
    hub.publish("sides", constant(1))
    assert hub.upload("sides", constant(2)).status_code == 201
    assert hub.upload("sides", b"no archive").status_code == 422
    broken = hub.upload("sides", bundle({"model.skops": b"x"}), version="bad")
    assert broken.status_code == 422
    assert [answer(hub, "sides", version) for version in ("1", "2")] == [1, 2]
    latest_is(hub, "sides", 2)

    rolled_back = hub.call("PUT", "/model/sides", json={"version": "1"})
    assert (rolled_back.status_code, rolled_back.json()["version"]) == (200, "1")
    latest_is(hub, "sides", 1)
    for wanted in ("bad", "9"):
        refused = hub.call("PUT", "/model/sides", json={"version": wanted})
        assert (refused.status_code, refused.json()["code"]) == (422, "version_not_ready")
    assert hub.upload("sides", constant(1, **{"note.txt": b"3"}), version="3").status_code == 201
    assert hub.call("GET", "/model/sides").json()["version"] == "1", "a pinned version stays the latest"

    assert hub.call("PUT", "/model/sides", json={"version": None}).json()["version"] == "3"
    assert hub.call("PUT", "/model/sides", json={"version": "2"}).json()["version"] == "2"
    assert hub.call("DELETE", "/model/sides/versions/2").status_code == 204
    assert hub.call("GET", "/model/sides").json()["version"] == "3", "latest falls back"
    latest_is(hub, "sides", 1)
    hub.wait_until(lambda: len(list((hub.models / "sides").iterdir())) == 2, "undeployment")
    listed = next(one for one in hub.call("GET", "/models?q=sides").json() if one["model"] == "sides")
    assert [one["version"] for one in listed["versions"]] == ["3", "bad", "1"]


def test_each_step_of_validation_can_be_read(hub: Any) -> None:
    hub.create("steps", input_example=[0.5])
    done = hub.upload("steps", constant(2)).json()
    names = ["archive", "contents", "safety", "deployment", "signature", "example"]
    assert [(step["name"], step["state"]) for step in done["steps"]] == [(name, "passed") for name in names]
    assert all(step["seconds"] >= 0 for step in done["steps"])
    assert done["example_output"] == 2
    hub.upload("steps", bundle({"readme.txt": b""}), version="empty")
    failed = hub.call("GET", "/model/steps/versions/empty").json()
    assert [(step["name"], step["state"]) for step in failed["steps"]] == [
        ("archive", "passed"),
        ("contents", "failed"),
    ]


def test_types_that_are_not_trusted_are_named(hub: Any) -> None:
    from fractions import Fraction

    estimator = GaussianNB().fit([[0.0], [1.0]], [1, 1])
    estimator.extra = Fraction
    hub.create("untrusted")
    refused = hub.upload("untrusted", bundle({"model.skops": dumps(estimator)}))
    assert refused.status_code == 422
    assert "fractions.Fraction" in refused.json()["detail"]


def test_the_readme_of_a_bundle_is_the_card(hub: Any) -> None:
    text = "# Größe\n\n<script>alert(1)</script>\n"
    hub.publish("carded", constant(1, **{"README.md": text.encode()}))
    entry = hub.call("GET", "/model/carded").json()
    card = hub.call("GET", entry["card"])
    assert (card.status_code, card.content.decode()) == (200, text)
    assert card.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert card.headers["X-Content-Type-Options"] == "nosniff"
    same = hub.call("GET", "/model/carded/card", headers={"If-None-Match": card.headers["ETag"]})
    assert same.status_code == 304
    hub.upload("carded", constant(2))
    assert hub.call("GET", "/model/carded").json()["card"] is None
    none = hub.call("GET", "/model/carded/card")
    assert (none.status_code, none.json()["code"]) == (404, "card_not_found")
    assert hub.call("GET", "/model/carded/versions/1/card").content.decode() == text


def test_a_citation_comes_in_the_form_that_is_accepted(hub: Any) -> None:
    hub.create("cited", reference="doi:10.5281/zenodo.77", discipline="optics", meta={"authors": ["A. B."]})
    path = "/model/cited/citation"
    assert hub.call("GET", path).text.startswith("@misc{cited,\n")
    for accepted in ("application/yaml", "text/yaml", "application/vnd.citation-file-format+yaml"):
        given = hub.call("GET", path, headers={"Accept": accepted})
        assert yaml.safe_load(given.text)["doi"] == "10.5281/zenodo.77"
        assert given.headers["Content-Type"].startswith("application/yaml")
    assert hub.call("GET", path, headers={"Accept": "image/png"}).status_code == 406
    assert [one["model"] for one in hub.call("GET", "/models?reference=doi:10.5281/zenodo.77").json()] == [
        "cited"
    ]


def test_a_model_moves_to_another_name_or_hub_with_all_its_versions(hub: Any, tmp_path: Any) -> None:
    from mlhub.__main__ import app

    hub.create("moving", description="Moves.", tags=["a"], meta={"$k": {"a.b": 1}})
    for number in (1, 2):
        assert hub.upload("moving", constant(number)).status_code == 201
    hub.call("PUT", "/model/moving", json={"version": "1"})
    runner = CliRunner()
    exported = runner.invoke(app, ["export", "moving", str(tmp_path), "--url", hub.url])
    assert exported.exit_code == 0, exported.output
    file = tmp_path / "moving.mlhub.tar"
    taken = runner.invoke(app, ["import", str(file), "--name", "moved", "--url", hub.url])
    assert taken.exit_code == 0, taken.output
    hub.wait_until(
        lambda: all(one["state"] == "ready" for one in hub.call("GET", "/model/moved").json()["versions"]),
        "validation of what was imported",
    )
    before, after = (hub.call("GET", f"/model/{name}").json() for name in ("moving", "moved"))
    for field in ("type", "description", "tags", "meta", "version", "reference"):
        assert after[field] == before[field]
    assert [one["bundle"]["sha256"] for one in after["versions"]] == [
        one["bundle"]["sha256"] for one in before["versions"]
    ]
    assert [answer(hub, "moved"), answer(hub, "moved", "2")] == [1, 2]

    data = file.read_bytes()
    again = hub.call("POST", "/import?name=moved", data=data)
    assert (again.status_code, len(again.json()["versions"])) == (200, 2), "an import may be repeated"
    hub.create("taken", description="Other.")
    form = hub.call("POST", "/import", data={"name": "formed"}, files={"file": ("x.tar", data)})
    assert (form.status_code, form.json()["model"]) == (201, "formed"), form.text
    assert len(form.json()["versions"]) == len(again.json()["versions"])
    empty = hub.call("POST", "/import", files={"name": (None, "formless")})
    assert (empty.status_code, empty.json()["code"]) == (422, "missing_file")
    refused = hub.call("POST", "/import?name=taken", data=data)
    assert (refused.status_code, refused.json()["code"]) == (409, "model_exists")


def test_an_import_that_fails_leaves_nothing(hub: Any) -> None:
    hub.publish("whole", constant(1))
    hub.upload("whole", constant(2))
    data = hub.call("GET", "/model/whole/export").content
    damaged = bytearray(data)
    damaged[-2000] ^= 1
    for body, status in ((data[:-3000], 400), (bytes(damaged), 422), (b"x" * 5000, 400), (b"", 400)):
        given = hub.call("POST", "/import?name=partial", data=body)
        assert given.status_code == status, given.text
        assert hub.call("GET", "/model/partial").status_code == 404


def test_a_server_that_comes_up_empty_gets_its_versions_back(hub: Any) -> None:
    import shutil

    hub.publish("lost", constant(2))
    server = hub.parts["server"]
    server.stop()
    shutil.rmtree(hub.models / "lost")
    server.start()
    hub.wait_until(lambda: serves(hub), "the model server's start")
    seen: set[Any] = set()

    def restored() -> bool:
        given = hub.call("POST", "/model/lost/predict", json={"input": [0.5]})
        seen.add(given.status_code)
        if given.status_code == 503:
            assert given.headers["Retry-After"]
        return bool(given.ok and given.json()["output"] == 2)

    hub.wait_until(restored, "restoration")
    assert seen <= {200, 503}
    hub.wait_until_ready()
