"""What the hub shows its model servers to be let in."""

import base64
import os
import threading
import time
from typing import Final

from mlhub.common.backend import CredentialSettings
from mlhub.common.errors import BackendError
from mlhub.common.settings import SettingsError

_FRESH: Final = 30.0
"""Seconds after which a file is read again."""


class Credentials:
    """Makes the header `Authorization` from a secret that stands elsewhere; never shows it."""

    def __init__(self, settings: CredentialSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._secret = ""
        self._read_at = float("-inf")

    def header(self) -> str:
        """Return the header's value.

        Raises:
            BackendError: the secret cannot be found.
        """
        secret = self._current()
        if self._settings.username is None:
            return f"Bearer {secret}"
        pair = f"{self._settings.username}:{secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def conceal(self, text: str) -> str:
        """Return a server's words without the secret, should they repeat it."""
        for secret in (self.header().partition(" ")[2], self._current()):
            text = text.replace(secret, "…")
        return text

    def _current(self) -> str:
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH:
                self._secret = _read(self._settings)
                self._read_at = time.monotonic()
            return self._secret


def check(settings: CredentialSettings) -> None:
    """See that the secret is there.

    Raises:
        SettingsError: it is not.
    """
    try:
        _read(settings)
    except BackendError as error:
        raise SettingsError(error.detail) from error


def _read(settings: CredentialSettings) -> str:
    if settings.file is None:
        where = f"the variable {settings.variable}"
        secret = os.environ.get(str(settings.variable), "").strip()
    else:
        where = "the file that 'credentials' names"
        try:
            secret = settings.file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BackendError(
                f"The secret for the model server cannot be read from {where}.", code="no_credentials"
            ) from error
    if not secret or not secret.isprintable() or not secret.isascii():
        raise BackendError(
            f"There is no usable secret for the model server in {where}.", code="no_credentials"
        )
    return secret
