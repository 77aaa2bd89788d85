"""A steady mixed load: clients of each kind that check what they get, and note it."""

import io
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import msgspec
import numpy as np
import requests

from tests.chaos.ledger import Accepted, Call, Ledger
from tests.chaos.model import Truth, npy, rows

WAIT: Final = 60
"""Seconds that a client waits for an answer it asked to have at once."""
PATIENCE: Final = 150.0
"""Seconds after which a client thinks that the connection is dead."""
BULK_ROWS: Final = 1500
_AGAIN: Final = 0.1
"""Seconds before a client tries again what failed."""
PREDICT: Final = "/model/truth/predict"


class Load:
    """The clients, each in a thread of its own."""

    def __init__(self, url: str, truth: Truth, ledger: Ledger, webhook: str) -> None:
        self._url = url
        self._truth = truth
        self._ledger = ledger
        self._webhook = webhook
        self._numbers = itertools.count(1)
        self._bulk_numbers = itertools.count(100_000, BULK_ROWS)
        self._versions = itertools.count(1)
        self._stop = threading.Event()
        self._local = threading.local()
        self._busy: list[Future[None]] = []

    def start(self) -> None:
        """Keep all clients busy from now on."""
        clients: list[Callable[[], float]] = [
            *[self._predict] * 3,
            self._submit,
            self._bulk,
            self._upload,
            self._read,
        ]
        self._pool = ThreadPoolExecutor(len(clients), "client")
        self._busy = [self._pool.submit(self._keep, client) for client in clients]

    def finish(self) -> None:
        """End all clients after the calls that they are in; a second time does nothing.

        Raises:
            AssertionError: one of them met what it could not make sense of.
        """
        self._stop.set()
        self._pool.shutdown()
        for one in self._busy:
            one.result()

    def _keep(self, client: Callable[[], float]) -> None:
        while not self._stop.is_set():
            self._stop.wait(client())

    def _predict(self) -> float:
        """Predict a row, and wait for it."""
        number = next(self._numbers)
        answer, began = self._call(
            "POST", PREDICT, json={"input": rows(number)[0].tolist()}, headers={"Prefer": f"wait={WAIT}"}
        )
        wrong = answer is not None and answer.ok and not self._truth.is_right(answer.json()["output"], number)
        self._note("predict", began, answer, wrong=wrong)
        return 0.02 if answer is not None and answer.ok else _AGAIN

    def _submit(self) -> float:
        """Hand a row over to be predicted later, until that is known to be accepted."""
        number = next(self._numbers)
        called = number % 3 == 0
        headers = {"Prefer": "respond-async", "Idempotency-Key": f"row-{number}"}
        if called:
            headers["X-Webhook"] = self._webhook
        body = {"input": rows(number)[0].tolist()}
        self._hand_over("submit", number, headers, called=called, json=body)
        return 0.05

    def _bulk(self) -> float:
        """Hand a file of rows over."""
        first = next(self._bulk_numbers)
        headers = {
            "Prefer": "respond-async",
            "Idempotency-Key": f"rows-{first}",
            "Content-Type": "application/x-npy",
        }
        content = npy(rows(first, BULK_ROWS))
        self._hand_over("bulk", first, headers, params={"bulk": "true"}, data=content)
        return 1.0

    def _hand_over(
        self, kind: str, first: int, headers: dict[str, str], *, called: bool = False, **options: Any
    ) -> None:
        while True:
            answer, began = self._call("POST", PREDICT, headers=headers, **options)
            self._note(kind, began, answer)
            if answer is not None and answer.ok:
                self._ledger.accept(
                    Accepted(kind, answer.headers["Location"], first, time.monotonic(), called=called)
                )
                return
            if self._stop.wait(_AGAIN):
                return

    def _upload(self) -> float:
        """Upload a new version, until that is known to be accepted."""
        number = next(self._versions)
        content = self._truth.version(number)
        path = f"/model/uploads/upload?version=v{number}"
        headers = {"Content-Type": "application/octet-stream"}
        while True:
            answer, began = self._call("POST", path, headers=headers, data=content)
            self._note("upload", began, answer)
            if answer is not None and answer.ok:
                place = f"/model/uploads/versions/v{number}"
                self._ledger.accept(Accepted("upload", place, number, time.monotonic()))
                return 1.5
            if self._stop.wait(_AGAIN):
                return 0.0

    def _read(self) -> float:
        """Read metadata."""
        answer, began = self._call("GET", "/model/truth")
        wrong = answer is not None and answer.ok and answer.json().get("state") != "ready"
        self._note("read", began, answer, wrong=wrong)
        return 0.05

    def _call(self, method: str, path: str, **options: Any) -> tuple[requests.Response | None, float]:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
        began = time.monotonic()
        try:
            return session.request(method, self._url + path, timeout=PATIENCE, **options), began
        except requests.RequestException as error:
            session.close()
            self._local.session = None
            self._local.error = str(error)
            return None, began

    def _note(
        self, kind: str, began: float, answer: requests.Response | None, *, wrong: bool = False
    ) -> None:
        ended = time.monotonic()
        if answer is None:
            self._ledger.note(Call(kind, began, ended, None, ok=False, detail=self._local.error))
            return
        detail = "" if answer.ok and not wrong else answer.text[:300]
        self._ledger.note(
            Call(
                kind,
                began,
                ended,
                answer.status_code,
                ok=answer.ok,
                wrong=wrong,
                detail=detail,
                comes_back="Retry-After" in answer.headers,
            )
        )


class Verdict(msgspec.Struct, frozen=True):
    """What became of accepted work."""

    work: Accepted
    outcome: str
    """`done`, `wrong` or `lost`."""
    detail: str = ""


def verdict(url: str, truth: Truth, work: Accepted, deadline: float) -> Verdict:
    """Wait for the end of accepted work, and look at what came of it."""
    shown: Any = {}
    while True:
        wait = max(0, min(int(deadline - time.monotonic()), 20))
        try:
            answer = requests.get(url + work.place, headers={"Prefer": f"wait={wait}"}, timeout=PATIENCE)
            shown = answer.json()
        except requests.RequestException as error:
            shown = {"error": str(error)}
        state = shown.get("state") if work.kind == "upload" else shown.get("status")
        if state in {"succeeded", "ready"}:
            break
        if state in {"failed", "canceled"} or time.monotonic() > deadline:
            return Verdict(work, "lost", str(shown)[:500])
        time.sleep(0.1)
    if work.kind == "upload":
        return Verdict(work, "done")
    if work.kind == "submit":
        right = truth.is_right(shown["output"], work.first)
        return Verdict(work, "done" if right else "wrong", str(shown["output"]))
    output = requests.get(url + shown["urls"]["output"], timeout=PATIENCE)
    right = output.ok and truth.is_right(np.load(io.BytesIO(output.content)), work.first, BULK_ROWS)
    return Verdict(work, "done" if right else "wrong", "" if right else output.text[:300])
