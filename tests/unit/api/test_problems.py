"""Every error leaves as a problem document, and a crash says nothing of what is inside."""

import logging
from typing import Any

import falcon.asgi
import falcon.testing
import pytest

from mlhub.api import problems
from mlhub.api.middleware import RequestId
from mlhub.common import errors
from mlhub.common.errors import FieldError, MLHubError
from mlhub.common.logs import RequestIdFilter


class Failing:
    """A resource that raises what it was given."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def on_get(self, req: Any, resp: Any) -> None:
        raise self._error


def get(error: Exception) -> falcon.testing.Result:
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App(middleware=[RequestId()])
    problems.add_handlers(app)
    app.add_route("/x", Failing(error))
    return falcon.testing.TestClient(app).simulate_get("/x", headers={"X-Request-ID": "mine"})


FAMILIES = [
    (errors.MalformedError, 400),
    (errors.UnauthenticatedError, 401),
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.NotConfiguredError, 409),
    (errors.PreconditionFailedError, 412),
    (errors.TooLargeError, 413),
    (errors.RangeError, 416),
    (errors.UnsupportedMediaError, 415),
    (errors.UnacceptableError, 422),
    (errors.BackendRefusedError, 422),
    (errors.BackendError, 502),
    (errors.BackendUnreachableError, 502),
    (errors.NotDeployedError, 503),
    (errors.UnavailableError, 503),
    (errors.BackendTimeoutError, 504),
    (errors.DeadlineError, 504),
]


@pytest.mark.parametrize(("family", "status"), FAMILIES)
def test_each_family_has_its_status(family: type[MLHubError], status: int) -> None:
    answer = get(family("What to do."))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"] == "What to do."
    assert answer.json["code"] == family.code
    assert answer.json["instance"] == "/x"
    assert ("retry-after" in answer.headers) is (status in {503, 504})
    assert ("www-authenticate" in answer.headers) is (status == 401)


def test_every_family_is_in_the_table() -> None:
    families = {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, MLHubError)}
    assert families - {MLHubError} == {family for family, _ in FAMILIES}


def test_places_in_the_body_are_named() -> None:
    answer = get(errors.UnacceptableError("No.", fields=(FieldError("/input/3", "Not a number."),)))
    assert answer.json["errors"] == [{"pointer": "/input/3", "detail": "Not a number."}]


def test_a_crash_is_a_500_without_internals_and_its_request_id_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.addFilter(RequestIdFilter())
    with caplog.at_level(logging.ERROR):
        answer = get(KeyError("/secret/path"))
    assert answer.status_code == 500
    assert answer.json["code"] == "internal_error"
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "mine"
    (record,) = [record for record in caplog.records if record.name == "mlhub.api.problems"]
    assert record.request_id == "mine"  # type: ignore[attr-defined]
    assert record.exc_info is not None
    assert "/secret/path" in caplog.text
