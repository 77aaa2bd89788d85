"""A real browser before a real hub: Debian's Chromium, steered by Playwright, and what `mlhub up` starts."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import requests
from playwright.sync_api import Browser, Page, sync_playwright

from mlhub.local.instance import Instance
from mlhub.local.ports import free_ports
from mlhub.local.program import Plan

TOKEN: Final = "open-sesame"
PATIENCE: Final = 150.0
"""Seconds that anything may take on a busy machine."""
ARTEFACTS: Final = Path(__file__).parents[2] / "artefacts" / "screenshots"


class Hub:
    """A hub on this machine, as `mlhub up` starts it, that needs a token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_ports(["api"], {})["api"]
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        started = self._mlhub("up", "--port", str(self._port), "--data", "data")
        assert started.returncode == 0, started.stderr

    def stop(self) -> None:
        stopped = self._mlhub("down", "--data", "data")
        assert stopped.returncode == 0, stopped.stderr

    @property
    def broker_url(self) -> str:
        plan = msgspec.json.decode(Instance(self._folder / "data").plan.read_bytes(), type=Plan)
        return plan.environment["MLHUB_BROKER_URL"]

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        return requests.request(method, self.url + path, timeout=150, headers=headers, **options)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.ok, answer.text
        return answer.json()

    def _mlhub(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlhub", *arguments],
            cwd=self._folder,
            env=os.environ | {"MLHUB_TOKEN": TOKEN, "MLHUB_API_PROCESSES": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A running hub with its sample model."""
    started = Hub(tmp_path_factory.mktemp("monitored"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where it is missing the tests fail, since what they are for cannot be seen without."""
    program = shutil.which("chromium")
    assert program is not None, "Chromium is not installed: apt-get install chromium, or run 'make test'."
    with sync_playwright() as playwright:
        # Its sandbox needs a user that is not root, and rights that containers do not have.
        launched = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], timeout=PATIENCE * 1000
        )
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser, hub: Hub, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Opens the page; at the end a picture is taken of it, and nothing must have gone wrong in it."""
    opened: list[Page] = []
    wrong: list[str] = []
    foreign: list[str] = []

    def visit(*, token: str | None = TOKEN, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        opened.append(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.on(
            "request", lambda sent: foreign.append(sent.url) if not sent.url.startswith(hub.url) else None
        )
        page.goto(f"{hub.url}/monitor")
        if token is not None:
            page.fill("#token", token)
            page.click("#login button")
            page.wait_for_selector("#tiles dd")
        return page

    yield visit
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(opened):
        page.screenshot(path=ARTEFACTS / f"{request.node.name}-{number}.png", full_page=True)
        page.context.close()
    assert not foreign, "nothing comes from beyond the hub"
    # A browser calls it an error when the token is asked for, and when a busy hub asks to be asked later.
    assert [line for line in wrong if "401" not in line and "503" not in line] == []


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], str], None]:
    """Waits until something holds."""

    def wait_until(holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"{what} did not come true"
            time.sleep(0.1)

    return wait_until
