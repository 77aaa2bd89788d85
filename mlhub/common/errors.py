"""The errors of MLHub: one root, with a family for each way in which a call can go wrong.

Families know nothing of HTTP; `mlhub.api.problems` holds the one table that turns them into statuses.
The message of an error is one clear sentence for the user, with what to do where there is something.
"""

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one place of a request body."""

    pointer: str
    """JSON pointer (RFC 6901) to the place, e.g. `/input/3`."""
    detail: str
    """What is wrong there, in one sentence."""


class MLHubError(Exception):
    """The root of all errors that MLHub raises on purpose.

    `detail` is for whoever asked. Logs have its `brief`: the same, unless the detail repeats a client's
    input, or a model server's words, which may do so.
    """

    code = "error"
    """Stable, machine-readable name; a raise may give a narrower one."""

    def __init__(
        self, detail: str, *, code: str | None = None, fields: tuple[FieldError, ...] = (), brief: str = ""
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.brief = brief or detail
        self.fields = fields
        if code is not None:
            self.code = code


class MalformedError(MLHubError):
    """The request cannot be read as what it claims to be."""

    code = "malformed"


class UnacceptableError(MLHubError):
    """The request is well formed, but what it asks for cannot be done."""

    code = "unacceptable"


class NotFoundError(MLHubError):
    """What the request names does not exist."""

    code = "not_found"


class ConflictError(MLHubError):
    """The request contradicts what is there already."""

    code = "conflict"


class NotConfiguredError(ConflictError):
    """The backend that the model names is not among the hub's settings any more."""

    code = "backend_not_configured"


class PreconditionFailedError(MLHubError):
    """The entry changed since the client last read it."""

    code = "precondition_failed"


class TooLargeError(MLHubError):
    """The body is larger than this hub accepts."""

    code = "too_large"


class RangeError(MLHubError):
    """The range of bytes that is asked for lies behind the end."""

    code = "range_not_satisfiable"


class UnsupportedMediaError(MLHubError):
    """The body is of a kind that this call does not read."""

    code = "unsupported_media_type"


class UnauthenticatedError(MLHubError):
    """The call needs a token and came without a valid one."""

    code = "unauthenticated"


class UnavailableError(MLHubError):
    """A part of the hub is away or full for now; the same call may work later."""

    code = "unavailable"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: int = 1) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after
        """Seconds after which a new try makes sense."""


class DeadlineError(MLHubError):
    """The answer did not come within the time the client gave."""

    code = "deadline_exceeded"


class BackendError(MLHubError):
    """The model server failed, or answered something that is no answer."""

    code = "backend_failed"


class BackendTimeoutError(BackendError):
    """The model server did not answer within the time its settings give it."""

    code = "backend_timeout"


class BackendUnreachableError(BackendError):
    """No connection to the model server could be made, or it broke before an answer."""

    code = "backend_unreachable"


class BackendRefusedError(BackendError):
    """The model server understood the request and refused it; its own words are the detail."""

    code = "backend_refused"


class NotDeployedError(BackendError):
    """The model server does not have the version that was asked for."""

    code = "not_deployed"


BY_CODE: dict[str, type[BackendError]] = {
    family.code: family
    for family in (
        BackendError,
        BackendTimeoutError,
        BackendUnreachableError,
        BackendRefusedError,
        NotDeployedError,
    )
}
"""Families that cross the queue by their code, from a predict pool to the gateway."""
