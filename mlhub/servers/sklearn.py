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
from mlhub.servers import artefact, boosting, description, extents, filenames, trees
from mlhub.servers.artefact import UNREADABLE, refusal
from mlhub.servers.estimator import Estimator
from mlhub.servers.options import RuntimeOptions

_SKOPS: Final = ".skops"
_PICKLES: Final = (".joblib", ".pkl")
_TRUSTED: Final = (
    *trees.TRUSTED,
    *boosting.TRUSTED,
    # Imputers and encoders keep datatypes, which say how numbers lie in memory.
    "numpy.dtype",
    # Of use while a model is fitted, and nothing later.
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    # How boosted trees look at what is no category; of functions only trusted ones are there to be called.
    "functools.partial",
    "sklearn.utils.validation.check_array",
    # A dictionary with attributes, by which ensembles name their parts.
    "sklearn.utils._bunch.Bunch",
    # Calibration around a classifier.
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    # Kernels of Gaussian processes; functions they may be given are types of their own.
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in (
            "CompoundKernel",
            "ConstantKernel",
            "DotProduct",
            "ExpSineSquared",
            "Exponentiation",
            "Matern",
            "Product",
            "RBF",
            "RationalQuadratic",
            "Sum",
            "WhiteKernel",
        )
    ),
)
"""What a file may hold besides the types that skops trusts: none runs or reads what it is not given."""


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
            raise refusal(
                f"{path.name} holds types that are not trusted: {names}; "
                "build the model of scikit-learn's own, or have the operator trust them"
            ) from error
        parts = list(trees.parts(estimator))
        trees.check(parts)
        boosting.check(parts)
        extents.check(parts)
        filenames.check(parts)
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
