"""Processes behind one port know each other's numbers."""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from mlhub.common import metrics
from mlhub.common.tally import Reading
from mlhub.servers.siblings import Siblings

MINE: Final = (Reading(metrics.SERVER_REQUESTS, ("ok",), 3.0),)


def siblings(folder: Path | None) -> Siblings:
    return Siblings("server.test", folder, lambda: MINE)


def test_one_alone_has_its_own_numbers() -> None:
    ((name, readings),) = siblings(None).all().items()
    assert name.startswith(f"server.test.{os.getpid()}@")
    assert readings == MINE


def test_others_are_known_until_they_are_silent(tmp_path: Path) -> None:
    async def live() -> None:
        one = siblings(tmp_path)
        await one.process_startup(None, None)
        own = tmp_path / f"{os.getpid()}.readings"
        async with asyncio.timeout(60):
            while not own.exists():  # noqa: ASYNC110 (a file tells nobody that it is there)
                await asyncio.sleep(0.01)
        other = tmp_path / "1.readings"
        other.write_bytes(own.read_bytes().replace(b"server.test", b"server.else"))
        (tmp_path / "2.readings").write_bytes(b"of another version")
        names = {name.partition(".")[2].partition(".")[0] for name in one.all()}
        assert names == {"test", "else"}
        long_ago = time.time() - 60
        os.utime(other, (long_ago, long_ago))
        assert len(one.all()) == 1
        await one.process_shutdown(None, None)
        assert not own.exists()

    asyncio.run(live())


def test_a_folder_that_cannot_be_written_is_no_harm(tmp_path: Path) -> None:
    async def live() -> None:
        one = siblings(tmp_path / "gone")
        await one.process_startup(None, None)
        await asyncio.sleep(0)
        assert list(one.all().values()) == [MINE]
        await one.process_shutdown(None, None)

    asyncio.run(live())
