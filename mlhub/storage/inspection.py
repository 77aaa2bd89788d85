"""Looking at the database as those who run it do: its version, its clock, its indexes."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

import msgspec
from pymongo.database import Database

from mlhub.common.model import VersionState
from mlhub.storage.database import Document, translated
from mlhub.storage.search import MARK


class Server(msgspec.Struct, frozen=True):
    """What a database server says of itself."""

    version: str
    time: datetime
    """Its clock, UTC."""


class Index(msgspec.Struct, frozen=True):
    """An index of a collection."""

    collection: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False


NEEDED: Final = (
    Index("models", ((MARK, 1),)),
    Index("versions", (("slot", 1),), unique=True),
    Index("versions", (("model", 1), ("created_at", -1))),
    Index("versions", (("backend", 1), ("state", 1))),
    Index("versions", (("state", 1), ("published_at", 1))),
    Index("predictions", (("expires_at", 1),)),
    Index("predictions", (("statuses", 1), ("_id", -1))),
    Index("predictions", (("due_at", 1),)),
    Index("predictions", (("held", 1),)),
    Index("predictions", (("keys", 1),), unique=True),
    Index("bundles", (("sha256", 1),)),
)
"""Indexes without which the hub is slow, or keeps twice what must be there once; the stores make them."""


@translated()
def look(database: Database[Document]) -> Server:
    """Ask the server.

    Raises:
        UnavailableError: it does not answer.
    """
    time: datetime = database.command("hello")["localTime"]
    # Answers to commands come without a zone.
    return Server(str(database.command("buildInfo")["version"]), time.replace(tzinfo=UTC))


@translated()
def missing_indexes(database: Database[Document]) -> list[Index]:
    """Return those of the needed indexes that the database does not have.

    Raises:
        UnavailableError: it does not answer.
    """
    there: set[Index] = set()
    for name in {index.collection for index in NEEDED}:
        for known in database[name].index_information().values():
            keys = tuple((str(field), int(order)) for field, order in known["key"])
            there.add(Index(name, keys, bool(known.get("unique", False))))
    return [index for index in NEEDED if index not in there]


@translated()
def stranded(database: Database[Document], configured: Collection[str]) -> dict[str, list[str]]:
    """Return the models of backends that are not configured, by the backend: their own, or a version's.

    Raises:
        UnavailableError: it does not answer.
    """
    alive = {"state": {"$ne": VersionState.REMOVING}}
    named = {*database["versions"].distinct("backend", alive), *database["models"].distinct("backend")}
    found: dict[str, list[str]] = {}
    for backend in sorted(named - {None} - set(configured)):
        models = database["models"].distinct("_id", {"backend": backend})
        versions = database["versions"].distinct("model", {"backend": backend, **alive})
        found[backend] = sorted({*models, *versions})
    return found
