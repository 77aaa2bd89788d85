"""What the status and body of a model server's answer mean: the one table from HTTP to errors."""

from http import HTTPStatus
from typing import Final

import msgspec

from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    BackendTimeoutError,
    BackendUnreachableError,
    NotDeployedError,
)
from mlhub.workers.adapters.connection import Answer

_LONGEST: Final = 2000
"""Characters of a server's own words that are passed on."""

_TRACE: Final = "Traceback (most recent call last)"
_LOGIN: Final = "The model server does not let the hub in; whoever runs the hub sets 'credentials': "
_MEANINGS: Final[dict[int, tuple[type[BackendError], str]]] = {
    HTTPStatus.UNAUTHORIZED: (BackendError, _LOGIN),
    HTTPStatus.FORBIDDEN: (BackendError, _LOGIN),
    HTTPStatus.NOT_FOUND: (NotDeployedError, "The model server does not have this version: "),
    HTTPStatus.REQUEST_TIMEOUT: (BackendTimeoutError, "The model server was too slow: "),
    HTTPStatus.GATEWAY_TIMEOUT: (BackendTimeoutError, "The model server was too slow: "),
    HTTPStatus.TOO_MANY_REQUESTS: (BackendUnreachableError, "The model server is too busy: "),
    HTTPStatus.SERVICE_UNAVAILABLE: (BackendUnreachableError, "The model server is not available: "),
}
"""Statuses that mean more than their first digit, and what to say before the server's own words."""


class _Refusal(msgspec.Struct):
    """The body of an error, as the Open Inference Protocol has it."""

    error: str


def checked(answer: Answer) -> Answer:
    """Return a good answer.

    Raises:
        NotDeployedError: the server does not have the model.
        BackendRefusedError: it refuses, with its own words.
        BackendTimeoutError: it gave up on time.
        BackendUnreachableError: it takes nothing now.
        BackendError: it failed.
    """
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    said = words(answer)
    if answer.status in _MEANINGS:
        family, before = _MEANINGS[answer.status]
        raise family(before + said, brief=f"{before.removesuffix(': ')}.")
    if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise BackendRefusedError(said, brief="The model server refused it.")
    brief = f"The model server failed with status {answer.status}"
    raise BackendError(f"{brief}: {said}", brief=f"{brief}.")


def garbage(answer: Answer) -> BackendError:
    """Make the error for an answer whose body is not of the protocol."""
    return BackendError(
        f"The model server at {answer.address} answered something that is not of its protocol."
    )


def words(answer: Answer) -> str:
    """Return what the server says is wrong, as one clean line of bearable length."""
    try:
        text = answer.conceal(msgspec.json.decode(answer.body, type=_Refusal).error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = answer.conceal(answer.body[: 4 * _LONGEST].decode("utf-8", "replace"))
    if _TRACE in text:
        # Where in its code it failed is the server's own business; the last line says why.
        text = text.strip().rpartition("\n")[2]
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(shown.split())
    return f"{line[:_LONGEST]}…" if len(line) > _LONGEST else line or "it does not say why."
