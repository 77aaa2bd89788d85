"""The metadata database."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from mlhub.common.errors import MLHubError
from mlhub.common.settings import Settings, SettingsError
from mlhub.doctor.clocks import compare
from mlhub.doctor.finding import Finding, bad, good, place, warning
from mlhub.storage.database import connect
from mlhub.storage.inspection import look, missing_indexes

_WHAT: Final = "database"
_OLDEST: Final = (7, 0)


def look_at_database(settings: Settings) -> Iterator[Finding]:
    """Look at the server, its clock and the hub's indexes."""
    try:
        database = connect(settings.mongodb_url, settings.database)
        try:
            before = datetime.now(UTC)
            server = look(database)
            after = datetime.now(UTC)
            missing = missing_indexes(database)
        finally:
            database.client.close()
    except SettingsError as error:
        yield bad(_WHAT, error.detail, "Correct it.")
        return
    except MLHubError:
        yield bad(
            _WHAT,
            f"It does not answer at {place(settings.mongodb_url)}, or lets nobody in.",
            "Start it, or correct MLHUB_MONGODB_URL.",
        )
        return
    numbers = tuple(int(part) for part in server.version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        yield bad(_WHAT, f"It is MongoDB {server.version}.", "Upgrade it to MongoDB 7 or newer.")
    else:
        yield good(_WHAT, f"It answers, and speaks MongoDB {server.version}.")
    if missing:
        named = ", ".join(
            f"{index.collection} by {'+'.join(key for key, _ in index.keys)}" for index in missing
        )
        yield warning(
            _WHAT,
            f"It lacks indexes: {named}.",
            "Start the API, which makes them; where it runs, its log says why it could not.",
        )
    else:
        yield good(_WHAT, "It has all indexes.")
    # Its clock was read somewhere between the two.
    skew = max((before - server.time).total_seconds(), (server.time - after).total_seconds(), 0.0)
    yield compare("The database", skew)
