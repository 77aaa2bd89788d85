"""The tar that TFaaS takes: one folder named as the model, folders before files, `params.json` in it."""

import io
import tarfile
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from mlhub.common.errors import BackendRefusedError
from mlhub.workers.bundle import description

PARAMS: Final = "params.json"
_LABELS: Final = "labels.txt"
_DEFAULTS: Final[dict[str, Any]] = {
    "model": "saved_model.pb",
    "input_name": "",
    "output_name": "",
    "img_channels": 0,
    "input_node": "serving_default_inputs_input",
    "output_node": "StatefulPartitionedCall",
    "description": "",
}
"""What its description of a model has, with the nodes that it runs whatever is said."""


def pack(files: Path, name: str, target: IO[bytes]) -> None:
    """Write the tar of a model.

    Args:
        files: folder with the bundle's files.
        name: what TFaaS shall call the model.
        target: where to write.

    Raises:
        BackendRefusedError: the bundle's own `params.json` is none.
    """
    about = description.read(files)
    params = _DEFAULTS | _own_params(files) | {"name": name}
    if about.image is not None and not params["img_channels"]:
        params["img_channels"] = about.image.channels
    labels = files / str(params.get("labels") or _LABELS)
    made = {}
    if labels.parent != files or not labels.is_file():
        # It wants the file also where there is nothing to say.
        labels = files / _LABELS
        if not labels.is_file():
            made[_LABELS] = "".join(f"{label}\n" for label in about.labels).encode()
    params["labels"] = labels.name
    made[PARAMS] = msgspec.json.encode(params)
    with tarfile.open(fileobj=target, mode="w") as archive:
        _add_folder(archive, name)
        found = sorted(files.rglob("*"))
        for path in (path for path in found if path.is_dir()):
            _add_folder(archive, f"{name}/{path.relative_to(files).as_posix()}")
        for path in (
            path for path in found if path.is_file() and path not in {files / item for item in made}
        ):
            _add_file(archive, path, f"{name}/{path.relative_to(files).as_posix()}")
        for item, content in made.items():
            member = tarfile.TarInfo(f"{name}/{item}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _own_params(files: Path) -> dict[str, Any]:
    path = files / PARAMS
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BackendRefusedError(f"The bundle's {PARAMS} is wrong: {error}.") from error


def _add_folder(archive: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    member.mode = 0o755
    archive.addfile(member)


def _add_file(archive: tarfile.TarFile, path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = path.stat().st_size
    with path.open("rb") as file:
        archive.addfile(member, file)
