"""The connection to MongoDB: how long to try, what its errors mean, how records become documents."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConfigurationError, DocumentTooLarge, InvalidName, PyMongoError

from mlhub.common.errors import TooLargeError, UnacceptableError, UnavailableError
from mlhub.common.settings import SettingsError

Document = dict[str, Any]
R = TypeVar("R", bound=msgspec.Struct)

PATIENCE: Final = 2000
"""Milliseconds a call may look for a server."""
_CONNECT: Final = 8000
"""Milliseconds a server may take to answer to connecting, and to the driver's own looks at it. A busy one
takes its time, and a look that is given up breaks off all calls that are under way."""
ANSWER: Final = 20_000
"""Milliseconds a server may take to answer."""


def connect(url: str, name: str, *, patience: int = PATIENCE, answer: int = ANSWER) -> Database[Document]:
    """Return the database; nothing is sent before the first call.

    Args:
        url: MongoDB connection string; what its options say holds, whatever the rest here says.
        name: the database's name.
        patience: milliseconds a call may look for a server.
        answer: milliseconds a server may take to answer.

    Raises:
        SettingsError: the connection string is none.
    """
    options: dict[str, int | str] = {
        "serverSelectionTimeoutMS": patience,
        "connectTimeoutMS": _CONNECT,
        "socketTimeoutMS": answer,
        "appname": "mlhub",
    }
    said = {name.lower() for name, _ in parse_qsl(url.partition("?")[2])}
    given: dict[str, Any] = {name: value for name, value in options.items() if name.lower() not in said}
    try:
        client: MongoClient[Document] = MongoClient(url, connect=False, **given)
        return client.get_database(name, codec_options=CodecOptions(tz_aware=True, tzinfo=UTC))
    except InvalidName as error:
        raise SettingsError(f"The setting MLHUB_DATABASE is no name of a database: {error}.") from None
    except (ConfigurationError, ValueError):
        # What the driver says may have the password in it.
        raise SettingsError(
            "The setting MLHUB_MONGODB_URL is no address that MongoDB's driver can use; it looks like "
            "mongodb://user:password@host:27017/, with %-escapes for special characters of the password."
        ) from None


def check(database: Database[Document]) -> None:
    """Ask the server for a sign of life.

    Raises:
        UnavailableError: there was none.
    """
    with translated():
        database.command("ping")


def version(database: Database[Document]) -> str:
    """Return the server's version.

    Raises:
        UnavailableError: it does not answer.
    """
    with translated():
        return str(database.command("buildInfo")["version"])


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into MLHub's; a context manager and a decorator.

    Raises:
        UnavailableError: the database does not answer.
        TooLargeError: the document is larger than a database keeps.
        UnacceptableError: the document holds something that no database keeps.
    """
    try:
        yield
    except DocumentTooLarge as error:
        raise TooLargeError("This record is larger than the metadata database keeps (16 MiB).") from error
    except (BSONError, OverflowError) as error:
        raise UnacceptableError(f"The metadata database cannot keep this: {error}.") from error
    except PyMongoError as error:
        raise UnavailableError(
            "The metadata database does not answer; try again in a moment.", code="database_unavailable"
        ) from error


def now() -> datetime:
    """Return the time in UTC, in the whole milliseconds that MongoDB keeps."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def to_document(record: msgspec.Struct) -> Document:
    """Make the document of a record; times and bytes keep their types."""
    document: Document = msgspec.to_builtins(record, builtin_types=(datetime, bytes))
    return document


def to_record(document: Mapping[str, Any], kind: type[R]) -> R:
    """Make the record of a document; fields the record does not know are left out."""
    return msgspec.convert(document, kind)


def compare_and_set(
    collection: Collection[Document], key: str, condition: Document, change: Document
) -> bool:
    """Change the document `key` if it still meets `condition`; tell whether it did.

    `update_one` by `_id` is atomic on one document, and much faster than `find_one_and_update` on the
    embedded database.
    """
    return collection.update_one({"_id": key, **condition}, change).matched_count == 1
