"""What the tests of the client share."""

import io
import socket
import tarfile
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def make_bundle() -> Callable[[dict[str, bytes]], bytes]:
    """Makes a tar.gz of files by name."""

    def make(files: dict[str, bytes]) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return target.getvalue()

    return make


@pytest.fixture
def free_address() -> Iterator[str]:
    """An address where nothing listens, and where nothing comes to do so meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
