"""Text vectorizers that take each text for the name of a file, and read that file.

With one, whoever may predict could have the server read its own files to them.
"""

from collections.abc import Iterable
from typing import Any, Final

from mlhub.servers.artefact import refusal

_TEXT: Final = "content"


def check(parts: Iterable[Any]) -> None:
    """Look at all vectorizers among the parts of an estimator.

    Raises:
        UnacceptableError: one of them reads files.
    """
    for part in parts:
        if hasattr(part, "build_analyzer") and getattr(part, "input", _TEXT) != _TEXT:
            raise refusal(
                f"its {type(part).__name__} reads the files that its input names; fit it with input='content'"
            )
