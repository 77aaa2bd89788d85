"""The step that looks at what the bundle holds."""

from pathlib import Path
from typing import Final

import msgspec

from mlhub.workers.bundle.contents import inspect
from mlhub.workers.deadline import Deadline
from mlhub.workers.validation.draft import README, Draft

_LONGEST: Final = 256 * 1024
"""Bytes of a README that are kept as the card."""


class Contents:
    """Finds the model of the declared type, its description and its card."""

    name = "contents"
    work = "Looking at the bundle's files"

    def __init__(self, *, allow_pickles: bool) -> None:
        self._allow_pickles = allow_pickles

    def take(self, draft: Draft, deadline: Deadline) -> Draft:
        """Find them."""
        contents = inspect(draft.folder, draft.model.type, allow_pickles=self._allow_pickles)
        deadline.check()
        return msgspec.structs.replace(draft, contents=contents, card=_card(contents.root))


def _card(root: Path) -> str | None:
    """Read the README, up to a bound; without one there is no card."""
    for path in sorted(root.iterdir()):
        if path.name.lower() == README.lower() and path.is_file():
            with path.open("rb") as file:
                data = file.read(_LONGEST + 1)
            # Bytes that are no text, and a character cut in two at the bound, are left out.
            text = data[:_LONGEST].decode("utf-8", "ignore").replace("\x00", "")
            return text if len(data) <= _LONGEST else f"{text}\n\n…\n"
    return None
