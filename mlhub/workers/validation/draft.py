"""What validation knows of a version so far."""

from pathlib import Path
from typing import Any, Final

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.common.model import Model, Version
from mlhub.common.signature import Signature
from mlhub.workers.bundle.contents import BundleContents

README: Final = "README.md"
"""The file of a bundle that becomes the card of its version."""


class Draft(msgspec.Struct, frozen=True):
    """A version on its way through the steps; each hands on a changed one."""

    version: Version
    model: Model
    folder: Path
    """Where the bundle is unpacked."""
    contents: BundleContents | None = None
    """What it holds."""
    card: str | None = None
    """Text of its README."""
    signature: Signature | None = None
    """What the model takes and gives."""
    example_output: Any = None
    """What it answered to its example input, as JSON shows it."""

    def found(self) -> BundleContents:
        """Return what the bundle holds.

        Raises:
            UnacceptableError: no step has looked yet.
        """
        if self.contents is None:
            raise UnacceptableError("The bundle was not looked into.", code="no_model")
        return self.contents

    def known(self) -> Signature:
        """Return what the model takes and gives.

        Raises:
            UnacceptableError: no step has asked yet.
        """
        if self.signature is None:
            raise UnacceptableError("The model's signature is not known.", code="no_signature")
        return self.signature
