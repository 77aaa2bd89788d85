"""The `Prefer` header (RFC 7240): whether to wait for an answer, and for how long."""

import falcon.asgi
import msgspec

from mlhub.common.errors import MalformedError


class Preferences(msgspec.Struct, frozen=True):
    """What a client prefers."""

    respond_async: bool = False
    """Whether it wants to come back for the answer."""
    wait: float | None = None
    """Seconds it is willing to wait."""


_NONE = Preferences()


def preferences(req: falcon.asgi.Request, longest: float) -> Preferences:
    """Read what a request prefers; waits are cut to `longest` seconds.

    Raises:
        MalformedError: `wait` is not a number of seconds.
    """
    header = req.get_header("Prefer")
    if header is None:
        return _NONE
    respond_async, wait = False, None
    for item in header.split(","):
        name, _, value = item.partition(";")[0].partition("=")
        if name.strip().lower() == "respond-async":
            respond_async = True
        elif name.strip().lower() == "wait":
            wait = min(_seconds(value), longest)
    return Preferences(respond_async, wait)


def _seconds(text: str) -> float:
    digits = text.strip().strip('"')
    if not digits.isascii() or not digits.isdigit():
        raise MalformedError("In the Prefer header, wait takes a whole number of seconds: 'Prefer: wait=10'.")
    # Anything longer is more than any hub allows, and int() has limits of its own.
    return float(digits[:9])
