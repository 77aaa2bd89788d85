"""That an export that is taken apart is what it was made from, however it comes in, and is a tar."""

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.api import exports
from mlhub.api.exports import Splitter
from mlhub.common.errors import MalformedError, MLHubError
from mlhub.common.export import FORMAT, MANIFEST, ExportedVersion, Manifest, read_manifest

LIMIT = 1024 * 1024


def make(bundles: list[bytes], fields: dict[str, Any]) -> tuple[Manifest, bytes]:
    versions = tuple(
        ExportedVersion(str(place + 1), hashlib.sha256(data).hexdigest(), len(data))
        for place, data in enumerate(bundles)
    )
    manifest = Manifest(FORMAT, "m", fields, None, versions)
    encoded = exports.encode(manifest)

    async def collect() -> bytes:
        pieces = exports.written(encoded, versions, lambda place: io.BytesIO(bundles[place]))
        return b"".join([piece async for piece in pieces])

    data = asyncio.run(collect())
    assert len(data) == exports.length(encoded, versions)
    return manifest, data


async def cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def split(data: bytes, size: int) -> tuple[Manifest, list[bytes]]:
    async def take() -> tuple[Manifest, list[bytes]]:
        splitter = Splitter(cut(data, size))
        manifest = await splitter.manifest(LIMIT)
        found = [b"".join([piece async for piece in splitter.bundle(one)]) for one in manifest.versions]
        return manifest, found

    return asyncio.run(take())


@given(
    st.lists(st.binary(max_size=2000), max_size=3),
    st.dictionaries(st.text(max_size=9), st.none() | st.text(max_size=9) | st.integers(-9, 9), max_size=3),
    st.integers(min_value=1, max_value=3000),
)
def test_what_comes_out_is_what_went_in(bundles: list[bytes], fields: dict[str, Any], size: int) -> None:
    manifest, data = make(bundles, fields)
    assert split(data, size) == (manifest, bundles)


def test_any_tar_can_look_into_it() -> None:
    _, data = make([b"one", b"two" * 400], {})
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        assert names[0] == MANIFEST
        assert len(names) == 3
        file = archive.extractfile(names[2])
        assert file is not None
        assert file.read() == b"two" * 400


@given(st.integers(min_value=0, max_value=4000))
def test_one_that_breaks_off_is_never_taken_for_a_whole_one(end: int) -> None:
    _, data = make([b"x" * 700], {"a": 1})
    needed = len(data) - 1024
    if end >= needed:
        return
    with pytest.raises(MalformedError):
        split(data[:end], 512)


@given(st.binary(max_size=3000))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(MLHubError):
        split(data, 512)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'{"format": "other", "model": "m", "fields": {}}', b'{"format": 1}', b"[" * 9999],
)
def test_manifests_of_other_forms_are_refused(text: bytes) -> None:
    with pytest.raises(MLHubError) as caught:
        read_manifest(text)
    assert caught.value.code == "bad_export"
