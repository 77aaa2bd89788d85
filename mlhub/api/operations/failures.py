"""The latest failures of a process: requests that it answered with its own fault."""

import time
from collections import deque
from typing import Final

import msgspec

from mlhub.common.pulse import Failure

_KEPT: Final = 20
_PAUSE: Final = 0.1
"""Seconds between two that are kept: a flood of failures must not cost much."""


class _Problem(msgspec.Struct):
    """What matters of an answer."""

    code: str = ""
    detail: str = ""


_PROBLEM: Final = msgspec.json.Decoder(_Problem)


class Failures:
    """Remembers the latest."""

    def __init__(self) -> None:
        self._latest: deque[Failure] = deque(maxlen=_KEPT)

    @property
    def latest(self) -> tuple[Failure, ...]:
        """Those that are remembered, the oldest first."""
        return tuple(self._latest)

    def note(self, method: str, path: str, status: int, body: bytes, request: str) -> None:
        """Remember a failure, unless there was one just now.

        Args:
            method: of the request.
            path: of the request.
            status: of the answer.
            body: of the answer, a problem.
            request: id of the request.
        """
        now = time.time()
        if self._latest and now - self._latest[-1].time < _PAUSE:
            return
        try:
            problem = _PROBLEM.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            problem = _Problem()
        self._latest.append(Failure(now, method, path, status, problem.code, problem.detail, request))
