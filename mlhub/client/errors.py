"""The one error that calls on a hub raise, made from what the hub answered or from the lack of an answer."""

from http import HTTPStatus

import msgspec
import requests

from mlhub.common.errors import FieldError, MLHubError


class HubError(MLHubError):
    """A call on the hub did not give what it was made for; the message is one sentence that says why."""

    code = "hub_error"

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        fields: tuple[FieldError, ...] = (),
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail, code=code, fields=fields)
        self.status = status
        """HTTP status; `None` when the hub gave no answer or the call was not made."""
        self.request_id = request_id
        """Id under which the hub's log has the request."""


class _Problem(msgspec.Struct):
    """The body of an error (RFC 9457), as far as it matters here."""

    title: str = ""
    detail: str = ""
    code: str | None = None
    errors: tuple[FieldError, ...] = ()


_PROBLEM = msgspec.json.Decoder(_Problem)


def from_response(response: requests.Response) -> HubError:
    """Make the error that an answer stands for, also when it is not the hub's own but a proxy's."""
    try:
        problem = _PROBLEM.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, requests.RequestException):
        problem = _Problem()
    return HubError(
        problem.detail or problem.title or f"{response.url} answered {_named(response)}.",
        status=response.status_code,
        code=problem.code,
        fields=problem.errors,
        request_id=response.headers.get("X-Request-ID"),
    )


def from_failure(error: requests.RequestException, url: str) -> HubError:
    """Make the error for a call that got no answer.

    Args:
        error: what the HTTP library says.
        url: base address of the hub.
    """
    if timed_out(error):
        return HubError(f"The hub at {url} did not answer in time.", code="no_answer")
    if never_sent(error):
        return HubError(
            f"No hub answers at {url}; start one with `mlhub up`, or set MLHUB_URL to the address of yours.",
            code="no_hub",
        )
    if isinstance(error, requests.exceptions.SSLError):
        return HubError(f"The connection to {url} is not secure: {_innermost(error)}.", code="not_secure")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return HubError(f"{url!r} is not an address a hub can have: {error}.", code="bad_url")
    return HubError(f"The connection to the hub at {url} broke: {_innermost(error)}.", code="broken")


def never_sent(error: requests.RequestException) -> bool:
    """Tell whether a call failed before anything of it could reach the hub."""
    if isinstance(error, requests.exceptions.SSLError):
        return False
    if isinstance(error, requests.ConnectTimeout):
        return True
    return isinstance(error, requests.ConnectionError) and any(
        sign in str(error) for sign in ("NewConnectionError", "NameResolutionError", "Failed to establish")
    )


def timed_out(error: requests.RequestException) -> bool:
    """Tell whether the hub took a call and then was silent for too long."""
    # While a body is read, the same thing comes as another class.
    return isinstance(error, requests.ReadTimeout) or "Read timed out" in str(error)


def _named(response: requests.Response) -> str:
    try:
        return f"{response.status_code} {HTTPStatus(response.status_code).phrase}"
    except ValueError:
        return str(response.status_code)


def _innermost(error: BaseException) -> str:
    """Return the words of the first cause, without the wrappings of the libraries in between."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).rstrip(".") or type(error).__name__
