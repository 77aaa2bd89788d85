"""Webhooks from the client and the command line, received as the documentation shows."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlhub.client import Client
from mlhub.local.ports import free_ports
from tests.integration.conftest import WEBHOOK_SECRET

PAGE = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()


@pytest.fixture
def documented(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """The receiver of the documentation: its address, and what it prints."""
    port = free_ports(("receiver",), {})["receiver"]
    examples = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (program,) = [example for example in examples if "Receiver" in example]
    assert "9000" in program
    process = subprocess.Popen(
        (sys.executable, "-c", program.replace("9000", str(port))),
        env=os.environ | {"MLHUB_WEBHOOK_SECRET": WEBHOOK_SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        deadline = time.monotonic() + 150
        while not _listens(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/done", process.stdout
    finally:
        process.kill()
        process.communicate()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_the_documented_receiver_gets_what_client_and_command_line_ask_for(
    hub: Any, digits: Any, published: str, documented: tuple[str, Any]
) -> None:
    url, printed = documented
    with Client(hub.url) as client:
        job = client.submit("digits", digits.rows[3], webhook=url)
        assert printed.readline() == f"{job.id} succeeded {digits.expected[3]}\n"
        hub.wait_until(lambda: bool(job.record().webhook.deliveries), "the delivery is noted")
        delivery = job.record().webhook.deliveries[-1]
        assert (delivery.status, delivery.error) == (204, None)
        command = (sys.executable, "-m", "mlhub")
        rows = str(digits.rows[4].tolist())
        environment = os.environ | {"MLHUB_URL": hub.url}

        def run(*arguments: str) -> str:
            done = subprocess.run(
                (*command, *arguments),
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=150,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        identity = run("predict", "digits", rows, "--async", "--webhook", url)
        assert printed.readline() == f"{identity} succeeded {digits.expected[4]}\n"
        hub.wait_until(lambda: bool(client.prediction(identity).webhook.deliveries), "the delivery is noted")
        assert url in run("job", identity)
