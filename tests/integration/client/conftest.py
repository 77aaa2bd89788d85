"""What the tests of the client share."""

import io
import socket
import tarfile
from collections.abc import Callable

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
def free_address() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
