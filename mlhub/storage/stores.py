"""The one mapping from the setting `MLHUB_BUNDLES` to a bundle store."""

from pathlib import Path
from typing import Any, Final

from pymongo.database import Database

from mlhub.common.settings import Settings, SettingsError
from mlhub.storage.bundles import BundleStore
from mlhub.storage.database import Document, connect
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.gridfs import GridFSBundleStore
from mlhub.storage.remote import Spool

_GRIDFS: Final = "gridfs"
_S3: Final = ("s3://", "s3a://")
_PATIENCE: Final = 30_000
"""Milliseconds that moving a piece of a bundle may wait for a database server to be there."""
_ANSWER: Final = 120_000
"""Milliseconds that such a server may take to answer; it is asked to write much at once."""


def create_bundle_store(settings: Settings) -> BundleStore:
    """Return the bundle store that the settings name; nothing is asked of it yet.

    Raises:
        SettingsError: there is no such store, or what it needs is not installed.
    """
    place = settings.bundles
    spool = Spool(settings.run_dir / "spool")
    if place == _GRIDFS:
        return GridFSBundleStore(_database(settings), spool)
    if "://" not in place:
        return DirectoryBundleStore(Path(place))
    return _object_store(place, settings, spool)


def _database(settings: Settings) -> Database[Document]:
    return connect(settings.mongodb_url, settings.database, patience=_PATIENCE, answer=_ANSWER)


def _object_store(address: str, settings: Settings, spool: Spool) -> BundleStore:
    # Only where one is used: not every hub has the extra installed, and it takes its time to import.
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415

        from mlhub.storage.objects import ObjectBundleStore  # noqa: PLC0415

        filesystem, root = url_to_fs(address, **_options(address, settings))
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"The setting MLHUB_BUNDLES names a store that cannot be used: {error}; "
            "for S3 install MLHub with its extra 's3'."
        ) from error
    return ObjectBundleStore(filesystem, root, spool)


def _options(address: str, settings: Settings) -> dict[str, Any]:
    if not address.startswith(_S3):
        return {}
    region = {} if settings.s3_region is None else {"region_name": settings.s3_region}
    return {
        "endpoint_url": settings.s3_endpoint,
        "key": settings.s3_key,
        "secret": settings.s3_secret,
        "client_kwargs": region,
        "config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 3}},
        "use_listings_cache": False,
    }
