"""The options of a protocol: the part of a backend's settings that only its adapter knows."""

from typing import TypeVar

import msgspec

from mlhub.common.backend import BackendSettings
from mlhub.common.settings import SettingsError

T = TypeVar("T")


def read_options(settings: BackendSettings, kind: type[T]) -> T:
    """Return the options as the record that the adapter wants.

    Raises:
        SettingsError: they are something else; the sentence says where.
    """
    try:
        return msgspec.convert(settings.options, kind)
    except msgspec.ValidationError as error:
        why = str(error).replace("`", "'")
        raise SettingsError(
            f"The options of a backend of protocol {settings.protocol!r} are wrong: {why}."
        ) from error


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For a protocol that has none."""
