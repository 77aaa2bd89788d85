"""The setting MLHUB_BUNDLES names a store, or says what is wrong with it."""

from pathlib import Path

import pytest

from mlhub.common.settings import Settings, SettingsError
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.stores import create_bundle_store


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    store = create_bundle_store(Settings(bundles=str(tmp_path / "here")))
    assert isinstance(store, DirectoryBundleStore)
    store.check()
    assert (tmp_path / "here").is_dir()


def test_a_store_whose_library_is_not_installed_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MLHUB_BUNDLES"):
        create_bundle_store(Settings(bundles="dropbox://folder/prefix", run_dir=tmp_path))
