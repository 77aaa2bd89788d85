"""The settings of one backend: a kind of model server, and how to reach it.

They hold no secrets, only where a secret stands, so that they can be written down and shown.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mlhub.common.model import ModelType
from mlhub.common.pool import PoolKind, PoolSettings

Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
"""A time; at most 31 years."""
Timeout = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
"""How long something is waited for; at most a day, since sockets do not count further than a few weeks."""
Count = Annotated[int, Field(gt=0, lt=2**63)]
"""A number of things; no larger than databases keep."""

MIB: Final = 1024 * 1024

PROTOCOLS: Final = ("oip", "mlserver", "external", "tfaas")
"""What `BackendSettings.protocol` may name; job and predict pools have an adapter for each."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError(
            "name a backend with up to 63 letters, digits, '-' and '_', first of all a letter or a digit"
        )
    return text


BackendName = Annotated[str, AfterValidator(_name)]
"""Also part of the names of queues and programs."""


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        well = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    else:
        if parts.username is not None or parts.password is not None:
            raise ValueError("an address must not hold a password; name where it stands in 'credentials'")
        well = well and not parts.query and not parts.fragment
    if not well:
        # Without repeating it: what is wrong may be a password with an unusual character.
        raise ValueError("the address of a server looks like http://127.0.0.1:8191")
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
"""Base address of a server, without a slash at its end."""


class CredentialSettings(BaseModel):
    """How the hub shows a model server who it is: by a bearer token, or by name and password."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f\x7f]+$")] | None = None
    """Name for basic authentication; without one the secret is a bearer token."""
    variable: str | None = None
    """Environment variable of the workers in which the secret stands."""
    file: Path | None = None
    """File in which the secret stands; read again every half minute, since such files change."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.variable is None) == (self.file is None):
            raise ValueError("name either a 'variable' or a 'file' with the secret")
        return self


class BackendSettings(BaseModel):
    """One backend."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    protocol: str = "oip"
    """Protocol its servers speak; names the adapter."""
    addresses: Annotated[tuple[Address, ...], Field(min_length=1)] = ("http://127.0.0.1:8191",)
    """Base addresses of its servers; any of them can serve any model of the backend."""
    types: tuple[ModelType, ...] = ()
    """Model types it serves by default."""
    repository: Path | None = None
    """Folder in which its servers look for models, as the job pool sees it."""
    credentials: CredentialSettings | None = None
    """What its servers want to see; nothing when they let everybody in."""
    ca_file: Path | None = None
    """Certificates to trust for https, in place of the system's."""
    connect_timeout: Timeout = 2.0
    """Seconds connecting to a server may take."""
    timeout: Timeout = 30.0
    """Seconds one predict call may take."""
    load_timeout: Timeout = 120.0
    """Seconds loading a model may take."""
    batch_rows: Count = 128
    """Rows one batch may hold."""
    batch_bytes: Count = MIB
    """Bytes of tensors one batch may hold; a larger single request goes alone."""
    slots: Annotated[int, Field(gt=0, le=1000)] = 4
    """Batches of one model that an API process keeps in flight."""
    allow_pickles: bool | None = None
    """Whether bundles for it may hold pickles; where nothing is said, what the hub's setting says."""
    pools: dict[PoolKind, PoolSettings] = {}
    """Sizes and rules of its pools, `predict`, `jobs` and `servers`; else those of the hub's setting."""
    options: dict[str, Any] = {}
    """What only its protocol knows; see the page of backends."""

    @property
    def slots_ahead(self) -> int:
        """Batches in flight where replies take long, the slots and half as many that wait beside them."""
        return self.slots + self.slots // 2
