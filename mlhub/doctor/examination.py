"""The examination: all checks, one after the other."""

from typing import Final

from mlhub.common.settings import load_settings
from mlhub.doctor.api import look_at_api
from mlhub.doctor.backends import look_at_backends
from mlhub.doctor.broker import look_at_broker
from mlhub.doctor.contradictions import look_at_settings
from mlhub.doctor.database import look_at_database
from mlhub.doctor.finding import Check, Finding
from mlhub.doctor.management import look_at_management
from mlhub.doctor.models import look_at_models
from mlhub.doctor.store import look_at_folders, look_at_store

CHECKS: Final[tuple[Check, ...]] = (
    look_at_settings,
    look_at_broker,
    look_at_management,
    look_at_database,
    look_at_models,
    look_at_store,
    look_at_folders,
    look_at_backends,
    look_at_api,
)


def examine() -> list[Finding]:
    """Look at everything that the settings of this process name.

    Raises:
        SettingsError: one of them is wrong, so that there is nothing to look at.
    """
    settings = load_settings()
    return [finding for check in CHECKS for finding in check(settings)]
