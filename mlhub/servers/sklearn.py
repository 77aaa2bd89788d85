"""The scikit-learn runtime: skops files, and pickles where the administrator allows them."""

import pickle
import warnings
from pathlib import Path
from typing import Any, Final

import joblib
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from mlhub.common.signature import Signature
from mlhub.common.tensor import Array
from mlhub.servers import artefact, description, trees
from mlhub.servers.artefact import UNREADABLE, refusal
from mlhub.servers.estimator import Estimator
from mlhub.servers.options import RuntimeOptions

_SKOPS: Final = ".skops"
_PICKLES: Final = (".joblib", ".pkl")
_TRUSTED: Final = (
    *trees.TRUSTED,
    "numpy.dtype",
    "sklearn.compose._column_transformer.make_column_selector",
)
"""What a file may hold besides the types that skops trusts. Imputers and encoders keep datatypes, which say
how numbers lie in memory; a selector picks columns when a model is fitted, and does nothing later."""


class SklearnModel:
    """A fitted estimator that answers as the protocol wants it."""

    def __init__(self, estimator: Any, path: Path, declared: Signature | None) -> None:
        self._estimator = Estimator(estimator, declared)
        self.signature = self._estimator.signature
        self.size_bytes = footprint(estimator, path.stat().st_size)

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
        path = self._find(folder)
        declared = description.read(folder).signature
        try:
            estimator = self._read(path)
            return SklearnModel(estimator, path, declared)
        except UNREADABLE as error:
            raise artefact.unreadable(path, error) from error

    def _find(self, folder: Path) -> Path:
        models = artefact.files(folder, (_SKOPS,))
        pickles = artefact.files(folder, _PICKLES)
        if not models and pickles and not self._options.allow_pickles:
            raise refusal(
                f"{pickles[0].name} is a pickle, which can run any code; this server loads "
                f"only *{_SKOPS} files"
            )
        return artefact.the_one(models or pickles, f"*{_SKOPS} file")

    def _read(self, path: Path) -> Any:
        if path.suffix != _SKOPS:
            return joblib.load(path)
        artefact.check_unpacked(path, self._options.max_memory)
        trusted = (*_TRUSTED, *self._options.trusted)
        try:
            estimator = skops.io.load(path, trusted=list(trusted))
        except UntrustedTypesFoundException as error:
            found = skops.io.get_untrusted_types(file=path)
            names = ", ".join(name for name in found if name not in trusted)
            raise refusal(f"{path.name} holds types that are not trusted: {names}") from error
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
    except (pickle.PicklingError, BufferError, *UNREADABLE):
        return file_size
    return counter.count
