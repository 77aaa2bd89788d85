"""The examples of `docs/client.md` run as they stand, one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "client.md").read_text()


def examples(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.usefixtures("published")
def test_the_examples_of_the_client_page_work(hub: Any, tmp_path: Path) -> None:
    folder = Path(sys.executable).parent
    environment = os.environ | {"MLHUB_URL": hub.url, "PATH": f"{folder}:{os.environ['PATH']}"}
    commands = re.sub(r"^\$ ", "", examples("console"), flags=re.MULTILINE)
    assert commands.count("mlhub ") > 15
    for program in (
        (sys.executable, "-W", "error", "-c", examples("python") + "\nhub.close()"),
        ("bash", "-euo", "pipefail", "-c", commands),
    ):
        done = subprocess.run(
            program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
