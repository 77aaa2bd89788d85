"""Estimators from files that nobody has reason to trust, whose compiled code does not look at extents.

Support vector machines, k-means and neighbours read as many numbers of one array as another one has rows or
columns. So the arrays are compared here, before any is read.
"""

import sys
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import scipy.sparse

from mlhub.common.errors import UnacceptableError

_MACHINES: Final = "sklearn.svm._base"
_CLASSIFIERS: Final = ("c_svc", "nu_svc")


def check(parts: Iterable[Any]) -> None:
    """Look at all such estimators among the parts of one.

    Raises:
        UnacceptableError: the arrays of one do not belong together.
    """
    for part in parts:
        if not (
            _is_sound_machine(part) and _has_width(part, "cluster_centers_") and _has_width(part, "_fit_X")
        ):
            raise UnacceptableError(
                f"The model holds a {type(part).__name__} that is damaged.", code="bad_model"
            )


def _has_width(part: Any, attribute: str) -> bool:
    """Tell whether an array that a part may have has as many columns as the part takes."""
    array: Any = getattr(part, attribute, None)
    width = getattr(part, "n_features_in_", None)
    if width is None or not (isinstance(array, np.ndarray) or scipy.sparse.issparse(array)):
        return True
    return bool(array.ndim == 2 and array.shape[1] == width)  # noqa: PLR2004


def _is_sound_machine(part: Any) -> bool:
    module = sys.modules.get(_MACHINES)
    # Where nothing has loaded it there is none.
    if module is None or not isinstance(part, module.BaseLibSVM) or not hasattr(part, "support_"):
        return True
    count, classes = len(part.support_), len(part._n_support)  # noqa: SLF001 (what its code reads)
    pairs = classes * (classes - 1) // 2
    is_classifier = part._impl in _CLASSIFIERS  # noqa: SLF001
    return bool(
        "_impl" not in vars(part)
        and _is_counting(part.support_, part.shape_fit_[0])
        and _is_counting(part._n_support, count + 1)  # noqa: SLF001
        and (part._n_support.sum() == count and classes > 1 if is_classifier else classes == 2)  # noqa: PLR2004, SLF001
        and (not is_classifier or len(part.classes_) == classes)
        and _are_vectors(part, count)
        and _size(part._dual_coef_) == (classes - 1) * count
        and part._dual_coef_.shape == (classes - 1, count)
        and part._intercept_.shape == (pairs,)
        and all(each.shape in ((0,), (pairs,)) for each in (part._probA, part._probB))  # noqa: SLF001
    )


def _is_counting(array: Any, end: int) -> bool:
    """Tell whether an array has one dimension and whole numbers from 0 to before `end`."""
    return bool(array.ndim == 1 and array.dtype == np.int32 and ((array >= 0) & (array < end)).all())


def _are_vectors(machine: Any, count: int) -> bool:
    """Tell whether there are as many support vectors as are counted, each as wide as a row."""
    vectors = machine.support_vectors_
    if scipy.sparse.issparse(vectors) != bool(machine._sparse):  # noqa: SLF001
        return False
    if scipy.sparse.issparse(vectors):
        for matrix in (vectors, machine._dual_coef_):
            if matrix.format != "csr":
                return False
            matrix.check_format(full_check=True)
    if machine.kernel == "precomputed":
        return bool(vectors.shape[0] in (0, count))
    return bool(vectors.shape == (count, machine.n_features_in_))


def _size(matrix: Any) -> int:
    """Return how many numbers there are to read."""
    return int(matrix.data.shape[0] if scipy.sparse.issparse(matrix) else matrix.size)
