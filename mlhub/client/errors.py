"""What goes wrong between a client and its hub."""

import msgspec
import requests

from mlhub.common.errors import FieldError, MLHubError


class HubError(MLHubError):
    """The hub refused a call, failed on it, or could not be reached."""

    def __init__(
        self,
        detail: str,
        *,
        status: int = 0,
        code: str = "error",
        fields: tuple[FieldError, ...] = (),
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail, code=code, fields=fields)
        self.status = status
        """HTTP status; 0 when the hub could not be reached."""
        self.request_id = request_id
        """Under which the hub's log has the detail."""


class _Problem(msgspec.Struct):
    """The body of an error (RFC 9457), as far as it is used."""

    detail: str = ""
    title: str = ""
    code: str = "error"
    errors: tuple[FieldError, ...] = ()


def from_response(response: requests.Response) -> HubError:
    """Make the error that a response stands for."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(title=f"{response.url} answered {response.status_code} {response.reason}.")
    return HubError(
        problem.detail or problem.title,
        status=response.status_code,
        code=problem.code,
        fields=problem.errors,
        request_id=response.headers.get("X-Request-ID"),
    )
