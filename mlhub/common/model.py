"""Records of models and their versions, with the states a version may pass through."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.common.image import ImageSpec
from mlhub.common.logs import NOBODY
from mlhub.common.signature import Signature


class ModelType(StrEnum):
    """Frameworks a model may come from, in the spelling that is kept."""

    TENSORFLOW = "TensorFlow"
    PYTORCH = "PyTorch"
    KERAS = "Keras"
    SKLEARN = "ScikitLearn"

    @classmethod
    def parse(cls, text: str) -> "ModelType":
        """Find the type that `text` names in any case.

        Raises:
            UnacceptableError: there is none of that name.
        """
        for member in cls:
            if member.lower() == text.lower():
                return member
        known = ", ".join(cls)
        raise UnacceptableError(f"There is no model type {text!r}; use one of {known}.", code="unknown_type")


class VersionState(StrEnum):
    """Where a version stands between its upload and its removal."""

    VALIDATING = "validating"
    READY = "ready"
    FAILED = "failed"
    REMOVING = "removing"


TRANSITIONS: Final[dict[VersionState, frozenset[VersionState]]] = {
    # Validation begins again on another backend when the version's own was taken out of the settings.
    VersionState.VALIDATING: frozenset(
        {VersionState.VALIDATING, VersionState.READY, VersionState.FAILED, VersionState.REMOVING}
    ),
    VersionState.READY: frozenset({VersionState.VALIDATING, VersionState.REMOVING}),
    # The same content uploaded once more: what it failed of may have been mended since.
    VersionState.FAILED: frozenset({VersionState.VALIDATING, VersionState.REMOVING}),
    VersionState.REMOVING: frozenset(),
}
"""The legal changes of a version's state; a removed version's record disappears."""


class ModelState(StrEnum):
    """What a model's versions add up to."""

    EMPTY = "empty"
    VALIDATING = "validating"
    READY = "ready"
    FAILED = "failed"


class Visibility(StrEnum):
    """Who may see an entry."""

    PUBLIC = "public"
    PRIVATE = "private"


class Bundle(msgspec.Struct, frozen=True):
    """The archive a version was uploaded as."""

    sha256: str
    """SHA-256 of the very bytes that were uploaded, in hexadecimal."""
    size: int
    """Bytes."""
    filename: str
    """Name offered to those who download it."""
    copy: str = ""
    """Name of its copy in the bundle store; empty in records of hubs before 0.2."""

    @property
    def key(self) -> str:
        """What the bundle store knows it by."""
        return self.copy or self.sha256


class StepState(StrEnum):
    """Where one step of validation stands."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"


class ValidationStep(msgspec.Struct, frozen=True):
    """One step of a version's validation, in its last attempt."""

    name: str
    state: StepState
    seconds: float | None = None
    """How long it took; nothing while it runs."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model."""

    deployment: str
    """Name under which the model server has it; unique for ever, also when a version's name is used again."""
    model: str
    """Name of the model it belongs to."""
    version: str
    """Its own name."""
    backend: str | None
    """Backend that serves it; nothing where the hub has none for its type."""
    state: VersionState
    """See `TRANSITIONS`."""
    bundle: Bundle
    """What was uploaded."""
    created_at: datetime
    """When the upload was complete, UTC."""
    ready_at: datetime | None = None
    """When validation ended well, UTC."""
    error: str | None = None
    """Why validation failed, for the user."""
    signature: Signature | None = None
    """What the model server declares; known once ready."""
    labels: tuple[str, ...] = ()
    """Names of the classes, from the bundle's `mlhub.json`."""
    steps: tuple[ValidationStep, ...] = ()
    """The steps of validation that were begun, in their order."""
    example_output: str | None = None
    """What it answered to its example input during validation, as JSON text; nothing without an example."""
    card: bool = False
    """Whether its bundle has a README, which is kept as its card."""
    image: ImageSpec | None = None
    """What the bundle says of how pictures become the input."""
    attempts: int = 0
    """How often a job began to work on it."""
    lease_until: datetime | None = None
    """Until when one job alone may work on it, UTC."""
    published_at: datetime | None = None
    """When its job was last put on the queue, UTC."""
    request: str = NOBODY
    """Id of the request that its job is for: the upload, or the removal."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of a model."""

    model: str
    """Its name, unique in the hub."""
    type: ModelType
    """The framework it comes from."""
    backend: str | None
    """Backend that serves its versions; nothing where the hub has none for its type."""
    created_at: datetime
    """UTC."""
    updated_at: datetime
    """UTC; changes with the entry and with its versions."""
    version: str | None = None
    """What `latest` means now: the pinned version, else the newest ready one."""
    pinned: str | None = None
    """The version that the owner set as latest."""
    first_version: str | None = None
    """Name that the first upload gets when it gives none."""
    meta: dict[str, Any] = msgspec.field(default_factory=dict)
    """Anything the owner wants to keep with the model."""
    description: str = ""
    reference: str = ""
    """Where the model is published: a DOI, an address."""
    discipline: str = ""
    """Field of research."""
    tags: tuple[str, ...] = ()
    visibility: Visibility = Visibility.PUBLIC
    owner: str | None = None
    """Who created the entry, where the hub knows its users."""
    input_example: Any = None
    """An input the model accepts, for readers and for validation."""
    state: ModelState = ModelState.EMPTY
    revision: int = 1
    """Counts the changes of the entry; its ETag."""


def summarise(versions: list[Version], pinned: str | None) -> tuple[ModelState, str | None]:
    """Tell a model's state and what `latest` means, from its versions, newest first."""
    ready = [version.version for version in versions if version.state is VersionState.READY]
    if ready:
        return ModelState.READY, pinned if pinned in ready else ready[0]
    if not versions:
        return ModelState.EMPTY, None
    return ModelState(versions[0].state), None
