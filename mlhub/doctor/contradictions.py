"""Settings that are right one by one, and wrong together."""

import difflib
import os
from collections.abc import Iterator, Mapping
from typing import Final

from mlhub.common.addresses import is_loopback
from mlhub.common.backend import MIB
from mlhub.common.pool import PoolKind
from mlhub.common.settings import Settings
from mlhub.doctor.finding import Finding, State, bad, good, warning

_WHAT: Final = "settings"
_LARGEST_DOCUMENT: Final = 16 * MIB
"""Bytes that MongoDB keeps in one document."""
_LARGEST_MESSAGE: Final = 16 * MIB
"""Bytes that RabbitMQ 4 takes in one message unless told otherwise."""
_OTHERS: Final = frozenset({"MLHUB_CONFIG", "MLHUB_DATA", "MLHUB_URL", "MLHUB_INSTANCE", "MLHUB_PROGRAM"})
"""Variables that are no settings of the hub's processes."""
_CLOSE: Final = 0.85
"""How alike names are, from 0 to 1, of which one is taken for the other written wrong."""
_OWN_ROOM: Final = MIB
"""Bytes that the rest of a document or message may take."""


def look_at_settings(settings: Settings) -> Iterator[Finding]:
    """Look at the hub's settings as a whole."""
    found = [*_misspelt(os.environ), *_hub(settings), *_backends(settings)]
    yield from found
    if not any(finding.state is not State.GOOD for finding in found):
        yield good(_WHAT, f"They agree; backends: {', '.join(settings.backends)}.")


def _misspelt(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look for variables that are hardly named otherwise than a setting; others may be anybody's."""
    known = {f"MLHUB_{name.upper()}" for name in Settings.model_fields} | _OTHERS
    for name in sorted(set(environment) - known):
        close = difflib.get_close_matches(name, known, 1, _CLOSE) if name.startswith("MLHUB_") else []
        # Kubernetes makes variables of its services' names, too.
        if close and not environment[name].startswith("tcp://"):
            yield warning(
                _WHAT, f"{name} is no setting, and changes nothing.", f"Name it {close[0]}, or unset it."
            )


def _hub(settings: Settings) -> Iterator[Finding]:
    if settings.token is None and not is_loopback(settings.host):
        yield bad(_WHAT, f"The API would listen on {settings.host} without a token.", "Set MLHUB_TOKEN.")
    if settings.default_wait > settings.max_wait:
        yield bad(
            _WHAT,
            f"Clients wait {settings.default_wait:g} s by default and {settings.max_wait:g} s at most.",
            "Set MLHUB_DEFAULT_WAIT to no more than MLHUB_MAX_WAIT.",
        )
    if settings.max_prediction_bytes + _OWN_ROOM > _LARGEST_DOCUMENT:
        yield bad(
            _WHAT,
            "Asynchronous predictions may be larger than the database keeps.",
            f"Set MLHUB_MAX_PREDICTION_BYTES to at most {_LARGEST_DOCUMENT - _OWN_ROOM}.",
        )
    if settings.max_unpacked_bytes < settings.max_bundle_bytes:
        yield warning(
            _WHAT,
            "Bundles may be larger packed than unpacked.",
            "Set MLHUB_MAX_UNPACKED_BYTES to no less than MLHUB_MAX_BUNDLE_BYTES.",
        )
    if settings.allow_pickles:
        yield warning(
            _WHAT,
            "Bundles may hold pickles, so whoever uploads one can run any code on the model servers.",
            "Unset MLHUB_ALLOW_PICKLES, or let only those upload whom you trust.",
        )


def _backends(settings: Settings) -> Iterator[Finding]:
    if not settings.backends:
        yield bad(_WHAT, "No backend is configured.", "Name one in MLHUB_BACKENDS.")
    for name, backend in settings.backends.items():
        if backend.timeout > settings.max_wait:
            yield warning(
                _WHAT,
                f"A call of {name} may take {backend.timeout:g} s, and no client waits so long.",
                f"Raise MLHUB_MAX_WAIT, or lower the 'timeout' of {name}.",
            )
        if max(settings.max_json_bytes, backend.batch_bytes) > _LARGEST_MESSAGE:
            yield warning(
                _WHAT,
                f"Batches for {name} may be larger than what RabbitMQ 4 takes in a message by itself.",
                "Raise RabbitMQ's max_message_size, or lower MLHUB_MAX_JSON_BYTES and 'batch_bytes'.",
            )
        secret = backend.credentials
        if secret is not None and secret.variable is not None and not os.environ.get(secret.variable):
            yield warning(
                _WHAT,
                f"The variable {secret.variable} with the secret of {name} is not set here.",
                "Set it where workers run.",
            )
        if secret is not None and secret.file is not None and not secret.file.is_file():
            yield warning(
                _WHAT,
                f"The file {secret.file} with the secret of {name} is not here.",
                "Put it where workers run.",
            )
        if settings.pool(backend, PoolKind.PREDICT).minimum == 0:
            yield warning(
                _WHAT,
                f"The pool 'predict' of {name} may be empty; then its clients wait for nothing.",
                "Set its 'minimum' to 1.",
            )
