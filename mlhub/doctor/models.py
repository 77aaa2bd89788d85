"""Models that cannot be asked, because their backend was taken out of the settings."""

from collections.abc import Iterator
from typing import Final

from mlhub.common.errors import MLHubError
from mlhub.common.settings import Settings, SettingsError
from mlhub.common.words import counted
from mlhub.doctor.finding import Finding, bad, good
from mlhub.storage.database import connect
from mlhub.storage.inspection import stranded

_WHAT: Final = "models"
_NAMED: Final = 5
"""Models of one backend that are named."""


def look_at_models(settings: Settings) -> Iterator[Finding]:
    """Look for models of backends that are not configured; a database that is away is another check's."""
    try:
        database = connect(settings.mongodb_url, settings.database)
        try:
            found = stranded(database, settings.backends)
        finally:
            database.client.close()
    except (MLHubError, SettingsError):
        return
    for backend, models in found.items():
        named = ", ".join(models[:_NAMED]) + (", …" if len(models) > _NAMED else "")
        yield bad(
            _WHAT,
            f"{counted(len(models), 'model has', 'models have')} a backend that is not configured, "
            f"{backend}: {named}.",
            f"Put {backend} back into MLHUB_BACKENDS, or move each model: PUT /model/NAME with another "
            "'backend'.",
        )
    if not found:
        yield good(_WHAT, "The backend of each is configured.")
