"""Addresses in settings: of servers, of the broker, of the database, of the bundle store.

What is wrong is said without repeating it: it may be a password with an unusual character.
"""

import re
from collections.abc import Collection
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

_BROKER: Final = "amqp://user:password@host:5672/vhost"
_DATABASE: Final = "mongodb://user:password@host:27017/"
_STORE: Final = "a folder, 'gridfs', or an address such as s3://bucket/prefix"
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]+")
_DATABASE_NAME: Final = re.compile(r'[^\s/\\."$*<>:|?\x00]{1,63}')
_SECRET: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def _split(text: str, schemes: Collection[str]) -> SplitResult | None:
    """Take an address apart; nothing when it has none of these schemes, no host or no possible port."""
    try:
        parts = urlsplit(text)
        well = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if well and not re.search(r"\s", text) else None


def _web(text: str) -> str:
    if _split(text, {"http", "https"}) is None:
        raise ValueError("write an address such as http://host:8080")
    return text


def _broker(text: str) -> str:
    # Several may stand between semicolons: the next is for when one is away.
    if any(_split(one, {"amqp", "amqps", "pyamqp"}) is None for one in text.split(";")):
        raise ValueError(f"write an address of RabbitMQ such as {_BROKER}")
    return text


def _database(text: str) -> str:
    scheme, _, rest = text.partition("://")
    user, _, hosts = re.split(r"[/?]", rest, maxsplit=1)[0].rpartition("@")
    well = scheme in {"mongodb", "mongodb+srv"} and "" not in hosts.split(",") and not hosts.startswith(":")
    if not well or "@" in user or user.count(":") > 1 or re.search(r"\s", text):
        raise ValueError(
            f"write an address of MongoDB such as {_DATABASE}, with %-escapes for special characters of the "
            "password"
        )
    return text


def _name(text: str) -> str:
    if _DATABASE_NAME.fullmatch(text) is None:
        raise ValueError("write a name such as mlhub, without blanks, dots, slashes, quotes and dollar signs")
    return text


def _store(text: str) -> str:
    scheme, there, rest = text.partition("://")
    if not there:
        if not text.strip() or "\x00" in text or text.rstrip("/:").lower() == "gridfs" != text:
            raise ValueError(f"write {_STORE}")
        if _SCHEME.fullmatch(text.partition(":/")[0]) and ":/" in text:
            raise ValueError(f"write {_STORE}, with two slashes behind the colon")
        return text
    if scheme.lower() in {"file", "local"}:
        raise ValueError("write the folder as a path, without 'file://'")
    if scheme.lower() in {"http", "https", "ftp", "gridfs", "mongodb"} or not _SCHEME.fullmatch(scheme):
        raise ValueError(f"write {_STORE}; bundles cannot be kept at such an address")
    # Only where such a store is used: it takes its time to import.
    from fsspec.registry import known_implementations  # noqa: PLC0415

    if scheme not in known_implementations:
        raise ValueError(f"write {_STORE}; nothing here knows how to reach such an address")
    if not rest.partition("/")[0].strip():
        raise ValueError(f"write the bucket, too: {scheme}://bucket/prefix")
    return text


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise ValueError(
            "write an address of this machine such as 127.0.0.1 or 0.0.0.0, without scheme and port"
        )
    return text


def _token(text: str) -> str:
    if _SECRET.fullmatch(text) is None:
        raise ValueError(
            "write visible ASCII characters without blanks at the ends, or leave the setting out for no login"
        )
    return text


WebAddress = Annotated[str, AfterValidator(_web)]
"""Address of something that speaks HTTP; it may have name and password."""
BrokerAddress = Annotated[str, AfterValidator(_broker)]
"""Address of RabbitMQ."""
DatabaseAddress = Annotated[str, AfterValidator(_database)]
"""Connection string of MongoDB, of one server or several."""
DatabaseName = Annotated[str, AfterValidator(_name)]
"""Name of a database of MongoDB."""
StorePlace = Annotated[str, AfterValidator(_store)]
"""Where bundles are kept."""
Host = Annotated[str, AfterValidator(_host)]
"""Address to listen on."""
Token = Annotated[str, AfterValidator(_token)]
"""What goes into a header `Authorization`."""
