"""The scikit-learn runtime: skops files, and pickles where the administrator allows them."""

import pickle
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import joblib
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import Signature
from mlhub.common.tensor import Array
from mlhub.servers import description, trees
from mlhub.servers.estimator import Estimator
from mlhub.servers.options import RuntimeOptions

_SKOPS: Final = ".skops"
_PICKLES: Final = (".joblib", ".pkl")
_UNREADABLE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a broken or foreign file raises: both formats build any object from what they find."""


class SklearnModel:
    """A fitted estimator that answers as the protocol wants it."""

    def __init__(self, estimator: Any, artefact: Path, declared: Signature | None) -> None:
        self._estimator = Estimator(estimator, declared)
        self.signature = self._estimator.signature
        self.size_bytes = footprint(estimator, artefact.stat().st_size)

    def predict(self, inputs: dict[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        """Compute outputs; without names, the default one."""
        return self._estimator.compute(inputs, outputs)


class SklearnRuntime:
    """Loads scikit-learn's estimators and pipelines, and whatever else has their methods."""

    platform = "sklearn"

    def __init__(self, options: RuntimeOptions) -> None:
        self._options = options
        # A tensor has no column names; that a model was fitted with some changes nothing in its answer.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")

    def load(self, folder: Path) -> SklearnModel:
        """Load the one model file in `folder`.

        Raises:
            UnacceptableError: there is none, there are several, or it cannot be loaded.
        """
        artefact = self._artefact(folder)
        declared = description.read(folder).signature
        try:
            estimator = self._read(artefact)
            return SklearnModel(estimator, artefact, declared)
        except _UNREADABLE as error:
            raise _bad(f"{artefact.name} cannot be loaded: {_first_line(error)}") from error

    def _artefact(self, folder: Path) -> Path:
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
        models = [path for path in files if path.suffix == _SKOPS]
        pickles = [path for path in files if path.suffix in _PICKLES]
        if not models and pickles and not self._options.allow_pickles:
            raise _bad(
                f"{pickles[0].name} is a pickle, which can run any code; this server loads "
                f"only *{_SKOPS} files"
            )
        found = models or pickles
        if not found:
            raise _bad(f"the bundle has no *{_SKOPS} file")
        if len(found) > 1:
            raise _bad(f"the bundle has several models: {', '.join(path.name for path in found)}")
        return found[0]

    def _read(self, artefact: Path) -> Any:
        if artefact.suffix != _SKOPS:
            return joblib.load(artefact)
        with zipfile.ZipFile(artefact) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > self._options.max_memory:
            raise _bad(f"{artefact.name} unpacks to {unpacked} bytes, more than this server has for models")
        trusted = (*trees.TRUSTED, *self._options.trusted)
        try:
            estimator = skops.io.load(artefact, trusted=list(trusted))
        except UntrustedTypesFoundException as error:
            found = skops.io.get_untrusted_types(file=artefact)
            names = ", ".join(name for name in found if name not in trusted)
            raise _bad(f"{artefact.name} holds types that are not trusted: {names}") from error
        trees.check(estimator)
        return estimator


class _ByteCounter:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.count += size
        return size

    def count_buffer(self, buffer: pickle.PickleBuffer) -> None:
        self.count += buffer.raw().nbytes


def footprint(estimator: Any, file_size: int) -> int:
    """Return the bytes an estimator takes in memory: those of its pickle, which is not kept anywhere.

    A model that cannot be pickled counts with the size of its file.
    """
    counter = _ByteCounter()
    try:
        pickle.Pickler(counter, protocol=5, buffer_callback=counter.count_buffer).dump(estimator)
    except (pickle.PicklingError, BufferError, *_UNREADABLE):
        return file_size
    return counter.count


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _bad(what: str) -> UnacceptableError:
    return UnacceptableError(f"The model cannot be served: {what.rstrip('.')}.", code="not_loadable")
