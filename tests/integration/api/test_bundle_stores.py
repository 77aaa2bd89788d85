"""Whole hubs whose bundles are in the database or in an object store, from an upload to its removal."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pymongo
import pytest
import requests

Kept = Callable[[], list[str]]
"""Tells the keys of all that is in the store."""


@pytest.fixture(scope="module", params=["gridfs", "s3"])
def stored(request: pytest.FixtureRequest, make_running_hub: Any, database_server: Any) -> Iterator[Any]:
    """A hub on one of the stores, and what is in the store."""
    if request.param == "gridfs":
        name, variables = "on-gridfs", {"MLHUB_BUNDLES": "gridfs"}
        client: pymongo.MongoClient[Any] = pymongo.MongoClient(database_server.url)

        def kept() -> list[str]:
            chunks = client[name]["bundle_files.chunks"].distinct("files_id")
            return sorted({*chunks, *client[name]["bundle_files.files"].distinct("_id")})
    else:
        name, address = "on-s3", request.getfixturevalue("object_server")
        options = {"endpoint_url": address, "key": "key", "secret": "secret", "use_listings_cache": False}
        files = fsspec.filesystem("s3", **options, client_kwargs={"region_name": "us-east-1"})
        requests.put(f"{address}/hub", timeout=60).raise_for_status()
        variables = {
            "MLHUB_BUNDLES": "s3://hub/bundles",
            "MLHUB_S3_ENDPOINT": address,
            "MLHUB_S3_KEY": "key",
            "MLHUB_S3_SECRET": "secret",
            "MLHUB_S3_REGION": "us-east-1",
        }

        def kept() -> list[str]:
            return sorted(place.rpartition("/")[2] for place in files.find("hub/bundles"))

    variables |= {"MLHUB_DATABASE": name, "MLHUB_SWEEP_INTERVAL": "1", "MLHUB_UPLOAD_GRACE": "1"}
    with make_running_hub(name, **variables) as hub:
        yield hub, kept
    if request.param == "gridfs":
        client.close()


def test_a_bundle_goes_in_serves_comes_out_and_leaves_nothing(stored: tuple[Any, Kept], digits: Any) -> None:
    hub, kept = stored
    hub.publish("digits", digits.bundle)
    assert len(kept()) == 1
    again = hub.upload("digits", digits.bundle, version="same")
    assert again.status_code == 201, again.text
    answer = hub.call("POST", "/model/digits/predict", json={"input": digits.rows.tolist()})
    assert answer.json()["output"] == digits.expected
    download = hub.call("GET", "/model/digits/download")
    assert download.content == digits.bundle
    assert download.headers["ETag"] == f'"{hashlib.sha256(digits.bundle).hexdigest()}"'
    part = hub.call("GET", "/model/digits/download", headers={"Range": "bytes=10-29"})
    assert (part.status_code, part.content) == (206, digits.bundle[10:30])
    refused = hub.upload("digits", b"no archive at all", version="bad")
    assert refused.status_code == 422, refused.text
    assert hub.call("DELETE", "/model/digits").status_code == 204
    hub.wait_until(lambda: kept() == [], "the store is empty")
    spool = hub.bundles.parent / "spool"
    hub.wait_until(lambda: not spool.exists() or not any(spool.iterdir()), "the spool is empty")


def test_a_resumable_upload_ends_as_one_bundle(stored: tuple[Any, Kept], digits: Any) -> None:
    hub, kept = stored
    hub.create("pieces")
    size = len(digits.bundle)
    headers = {"Upload-Length": str(size), "Upload-Metadata": "model cGllY2Vz"}
    address = hub.call("POST", "/uploads", headers=headers).headers["Location"]
    for start in range(0, size, size // 2 + 1):
        headers = {"Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        piece = digits.bundle[start : start + size // 2 + 1]
        assert hub.call("PATCH", address, data=piece, headers=headers).status_code == 204
    assert hub.call("GET", "/model/pieces/download").content == digits.bundle
    hub.wait_until(lambda: len(kept()) == 1, "the parts are gone")
    hub.wait_until(
        lambda: hub.call("GET", "/model/pieces").json()["state"] == "ready", "the version is ready"
    )
    assert hub.call("DELETE", "/model/pieces").status_code == 204
    hub.wait_until(lambda: kept() == [], "the store is empty")
