"""The catalogue of a hub as methods: entries, their versions and bundles."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mlhub.client import bundle
from mlhub.client.address import model_path, version_path
from mlhub.client.bundle import Progress
from mlhub.client.calls import JSON, Calls
from mlhub.client.records import Model, Version, read
from mlhub.client.transport import Repeat
from mlhub.client.upload import send
from mlhub.common.export import MEDIA_TYPE
from mlhub.common.names import LATEST


class Catalogue(Calls):
    """The models of a hub; the client is one."""

    def models(
        self,
        q: str | None = None,
        type: str | None = None,  # noqa: A002 - the field's name in the hub
        *,
        discipline: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        state: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Model]:
        """Yield the entries that meet all filters, page after page as they are needed.

        Args:
            q: words in name, description, tags or discipline.
            type: `TensorFlow`, `PyTorch`, `Keras` or `ScikitLearn`.
            discipline: field of research.
            owner: who created it.
            tag: one of its tags.
            state: `empty`, `validating`, `ready` or `failed`.
            sort: `name`, or `-updated_at` for the latest change first.
            limit: how many at most.
        """
        filters = {
            "q": q,
            "type": type,
            "discipline": discipline,
            "owner": owner,
            "tag": tag,
            "state": state,
            "sort": sort,
        }
        return self._list("/models", Model, filters, limit)

    def model(self, name: str) -> Model:
        """Return an entry with its versions."""
        return read(self._http.call("GET", model_path(name), repeat=Repeat.SAFE), Model)

    def create(self, name: str, type: str, **fields: Any) -> Model:  # noqa: A002 - the field's name in the hub
        """Create an entry and return it.

        Args:
            name: of the model.
            type: `TensorFlow`, `PyTorch`, `Keras` or `ScikitLearn`, in any case.
            fields: any of `meta`, `description`, `reference`, `discipline`, `tags`, `backend`, `visibility`,
                `input_example` and `version`, the name of the first version.
        """
        body = msgspec.json.encode({"model": name, "type": type, **fields})
        return read(self._http.call("POST", model_path(name), data=body, headers=JSON), Model)

    def update(self, name: str, **fields: Any) -> Model:
        """Change the fields that are given, as in `create`, and return the entry.

        `version` sets which version `latest` means; `None` makes it the newest ready one again.
        """
        body = msgspec.json.encode(fields)
        response = self._http.call("PUT", model_path(name), data=body, headers=JSON, repeat=Repeat.SAFE)
        return read(response, Model)

    def delete(self, name: str) -> None:
        """Delete an entry with all its versions."""
        self._http.call("DELETE", model_path(name))

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, newest first."""
        response = self._http.call("GET", model_path(name, "versions"), repeat=Repeat.SAFE)
        return read(response, list[Version])

    def version(self, name: str, version: str = LATEST) -> Version:
        """Return one version."""
        return read(self._http.call("GET", version_path(name, version), repeat=Repeat.SAFE), Version)

    def delete_version(self, name: str, version: str) -> None:
        """Delete one version."""
        self._http.call("DELETE", version_path(name, version))

    def upload(
        self,
        name: str,
        file: str | os.PathLike[str] | BinaryIO,
        version: str | None = None,
        *,
        wait: float = 60.0,
        progress: Progress | None = None,
    ) -> Version:
        """Send a bundle as a new version and return it, `ready`; or `validating` after `wait` seconds.

        The file is read piece by piece, whatever its size. A large one goes on where it stood when the
        connection breaks.

        Args:
            name: of the model.
            file: a path, or a file opened for reading bytes.
            version: its name; the next whole number unless given.
            wait: seconds to wait for the end of validation; 0 returns at once.
            progress: called with the bytes sent and all there are (`None` where that is unknown).

        Raises:
            HubError: the hub refused it, or validation failed (`validation_failed`).
            OSError: the file cannot be read.
        """
        if not isinstance(file, str | os.PathLike):
            return send(self._http, name, file, version, wait, progress)
        with Path(file).open("rb") as opened:
            return send(self._http, name, opened, version, wait, progress)

    def download(
        self,
        name: str,
        path: str | os.PathLike[str],
        version: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Path:
        """Write a bundle to a file, checked against the hub's SHA-256, and return the file's path.

        When the connection breaks, only the rest is asked for again.

        Args:
            name: of the model.
            path: the file, which appears only when it is complete; or a folder to put it in.
            version: the latest one unless given.
            progress: called with the bytes received and all there are.

        Raises:
            HubError: there is none, or it did not arrive as the hub has it.
            OSError: the file cannot be written.
        """
        address = version_path(name, version or LATEST, "download")
        return bundle.save(self._fetch(address), Path(path), progress)

    def export(self, name: str, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Write an entry with all its versions to one file, or to a folder, and return the file's path.

        Raises:
            HubError: there is no such entry, or it did not arrive as a whole.
            OSError: the file cannot be written.
        """
        return bundle.save(self._fetch(model_path(name, "export")), Path(path), progress)

    def take_in(self, file: BinaryIO, name: str | None = None, *, progress: Progress | None = None) -> Model:
        """Send an export, of this hub or another, and return the entry that it became.

        Args:
            file: what `export` wrote.
            name: of the entry; the one it had unless given.
            progress: called with the bytes sent and all there are.

        Raises:
            HubError: the hub refused it; nothing of it stays then.
        """
        reader = bundle.BundleReader(file, progress)
        parameters = {} if name is None else {"name": name}
        headers = {"Content-Type": MEDIA_TYPE}
        return read(
            self._http.call("POST", "/import", params=parameters, data=reader.body(), headers=headers), Model
        )
