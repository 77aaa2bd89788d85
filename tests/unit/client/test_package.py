"""What importing the client and its commands costs."""

import pickle
import subprocess
import sys

import pytest

import mlhub.client
from mlhub.client import HubError
from mlhub.common.errors import FieldError


def test_the_help_of_the_commands_needs_neither_numpy_nor_the_http_library() -> None:
    code = (
        "import sys, mlhub.client.commands; "
        "print([name for name in ('numpy', 'requests', 'rich.table') if name in sys.modules])"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_has_what_it_names_and_nothing_else() -> None:
    assert {getattr(mlhub.client, name).__name__ for name in mlhub.client.__all__} == {
        "Client",
        "HubError",
        "Job",
        "verify_webhook",
    }
    with pytest.raises(AttributeError, match="nothing"):
        _ = mlhub.client.nothing


def test_an_error_passes_between_processes() -> None:
    error = HubError("No.", status=404, code="x", fields=(FieldError("/a", "b"),), request_id="r")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made on the line itself
    assert (str(copy), copy.status, copy.code, copy.fields, copy.request_id) == (
        "No.",
        404,
        "x",
        error.fields,
        "r",
    )
