"""The libraries that come with the extra `local`."""

import importlib.util
from typing import Final

from mlhub.local.errors import MissingError

_NEEDS: Final = ("circus", "psutil")


def check_extra() -> None:
    """Find out whether they are installed, before they are imported.

    Raises:
        MissingError: one is not.
    """
    for name in _NEEDS:
        if importlib.util.find_spec(name) is None:
            raise MissingError(
                f"The Python package {name} is not installed; install it: pip install 'mlhub[local]'."
            )
