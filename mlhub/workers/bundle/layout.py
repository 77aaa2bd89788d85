"""What the files of each type of model are: the one table of formats."""

import zipfile
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from mlhub.common.model import ModelType
from mlhub.workers.bundle.metered import MeteredFile

_LIST: Final = 16 * 1024 * 1024
"""Bytes that the list of files in a model's zip may have."""


class Format(msgspec.Struct, frozen=True):
    """One kind of file that a model may be saved as."""

    pattern: str
    """What its names look like."""
    zipped: str | None = None
    """How the name of a file ends that a zip of this kind always holds; nothing where it is no zip."""

    def is_whole(self, path: Path) -> bool:
        """Tell whether the file is what its name says, as well as can be told without loading it.

        Raises:
            UnacceptableError: it is a zip with an endless list of files.
        """
        if self.zipped is None:
            return True
        try:
            with path.open("rb") as file:
                metered = cast("IO[bytes]", MeteredFile(file, _LIST))
                with zipfile.ZipFile(metered) as archive:
                    return any(name.endswith(self.zipped) for name in archive.namelist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
            return False


class Layout(msgspec.Struct, frozen=True):
    """What a bundle of one type holds."""

    formats: tuple[Format, ...]
    """There must be exactly one file of one of these."""
    save: str
    """How to make such a file."""
    unlike: str = "is not what its name says"
    """What a file with the name of one, and none, is."""
    folders: tuple[str, ...] = ()
    """Folders that must be there as well."""
    pickles: tuple[str, ...] = ()
    """Patterns of files that will do where pickles are allowed."""
    foreign: tuple[str, ...] = ()
    """Patterns of files that people take for a model of this type, and that no server here loads."""


LAYOUTS: Final[dict[ModelType, Layout]] = {
    ModelType.TENSORFLOW: Layout(
        formats=(Format("saved_model.pb"),),
        folders=("variables",),
        foreign=("*.pb", "*.tflite"),
        save="tf.saved_model.save",
    ),
    ModelType.PYTORCH: Layout(
        # A pickled module is a zip, too, but has no constants.
        formats=(Format("*.pt2", zipped=""), Format("*.pt", zipped="constants.pkl")),
        foreign=("*.pth",),
        save="torch.export.save (model.pt2) or torch.jit.save (model.pt)",
        unlike="is no exported program and no TorchScript (what torch.save writes is a pickle, which could "
        "run any code)",
    ),
    ModelType.KERAS: Layout(
        formats=(Format("*.keras", zipped="config.json"),),
        foreign=("*.h5", "*.hdf5"),
        save="model.save('model.keras')",
    ),
    ModelType.SKLEARN: Layout(
        formats=(Format("*.skops", zipped="schema.json"),),
        pickles=("*.joblib", "*.pkl"),
        foreign=("*.pickle",),
        save="skops.io.dump(model, 'model.skops')",
    ),
}
