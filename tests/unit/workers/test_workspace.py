"""That folders of jobs go with their jobs, also when those die."""

import subprocess
import sys
from pathlib import Path

from mlhub.workers.validation.workspace import clear, workspace


def test_a_folder_goes_with_its_block_and_is_not_cleared_before(tmp_path: Path) -> None:
    root = tmp_path / "work"
    assert clear(root) == 0, "there is no such folder yet"
    with workspace(root, "1-x") as folder:
        (folder / "file").write_bytes(b"x")
        assert clear(root) == 0
        assert (folder / "file").exists()
    assert list(root.iterdir()) == []


def test_the_folder_of_a_killed_job_is_cleared(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal\n"
        "from mlhub.workers.validation.workspace import workspace\n"
        f"with workspace(pathlib.Path({str(tmp_path)!r}), '1-x') as folder:\n"
        "    (folder / 'file').write_bytes(b'x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    assert clear(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
