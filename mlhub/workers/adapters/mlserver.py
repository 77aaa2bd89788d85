"""The adapter to MLServer: the Open Inference Protocol, with a file of settings beside each model.

Where it differs from the protocol (its 1.7.1): it finds models by a file `model-settings.json`; loading and
unloading concern all versions of a model at once, and loading makes it forget those whose files are gone;
its index has one state for all versions of a model.
"""

from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec

from mlhub.common.backend import BackendSettings
from mlhub.common.errors import BackendRefusedError
from mlhub.workers.adapters.connection import Answer
from mlhub.workers.adapters.oip import Listed, OpenInferenceAdapter
from mlhub.workers.adapters.options import read_options
from mlhub.workers.adapters.repository import ModelRepository
from mlhub.workers.adapters.servers import Call
from mlhub.workers.bundle import description

_SETTINGS: Final = "model-settings.json"
_FOLDER: Final = "model"
"""Folder of the bundle's files; apart from the settings, from beside which MLServer imports modules."""
_NO_MODEL: Final = (description.FILE, "README.md")


class MLServerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only this protocol knows."""

    implementation: str = "mlserver_sklearn.SKLearnModel"
    """The runtime, as MLServer's own settings name it."""
    extra: dict[str, Any] = {}
    """More `parameters` of each model, such as `content_type`."""


class MLServerAdapter(OpenInferenceAdapter):
    """Speaks the protocol, and writes the settings of each model."""

    def _configure(self, settings: BackendSettings) -> None:
        self._options = read_options(settings, MLServerOptions)

    def _place(self, repository: ModelRepository, model: str, deployment: str, files: Path) -> None:
        if any(files.rglob(_SETTINGS)):
            raise BackendRefusedError(
                f"The bundle holds {_SETTINGS}, which the hub writes itself; leave it out."
            )
        text = msgspec.json.encode(self._model_settings(model, deployment, files))
        repository.place(model, deployment, files, folder=_FOLDER, beside={_SETTINGS: text})

    def _model_settings(self, model: str, deployment: str, files: Path) -> dict[str, Any]:
        found = [path for path in files.iterdir() if path.is_file() and path.name not in _NO_MODEL]
        # It knows some names of its own; a model of any other name has to be pointed at.
        uri = f"./{_FOLDER}/{found[0].name}" if len(found) == 1 else f"./{_FOLDER}"
        signature = description.read(files).signature
        declared = {} if signature is None else msgspec.to_builtins(signature)
        for spec in declared.get("inputs", ()):
            # What only the hub knows is no part of its settings.
            spec.pop("allow_missing", None)
        return {
            "name": model,
            "implementation": self._options.implementation,
            "parameters": {**self._options.extra, "uri": uri, "version": deployment},
            **declared,
        }

    def _unload(self, model: str, deployment: str) -> list[Answer]:
        left = self._repository is not None and self._repository.has_any(model)
        return self._tell(model, deployment, "load" if left else "unload", self._settings.load_timeout)

    def _is_there(self, address: str, listed: Listed) -> bool:
        path = self._path(listed.name, str(listed.version))
        call = Call("GET", f"{path}/ready", self._settings.timeout)
        return super()._is_there(address, listed) and self._servers.ask(call, address).status == HTTPStatus.OK
