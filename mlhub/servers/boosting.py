"""Histogram-based gradient boosting from files that nobody has reason to trust.

Its trees are followed by compiled code that does not look at the indices it is given, like those in `trees`.
These come from several places: the nodes, the sets of categories, and the ensemble around them.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from mlhub.common.errors import UnacceptableError

TRUSTED: Final = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
"""The type, by the name that skops knows."""
_PACKAGE: Final = "sklearn.ensemble._hist_gradient_boosting"
_STEPS: Final = 2
"""Steps by which categories are turned into numbers: one for them, one for the other columns."""
_WORDS: Final = 8
"""Words of 32 bits in a set of categories."""


def check(parts: Sequence[Any]) -> None:
    """Look at all such trees among the parts of an estimator.

    Raises:
        UnacceptableError: one of them would lead out of what it is made of, or in a circle.
    """
    if f"{_PACKAGE}.predictor" not in sys.modules:
        # Nothing has loaded one.
        return
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import (  # noqa: PLC0415 (see above)
        BaseHistGradientBoosting,
    )
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor  # noqa: PLC0415

    checked: set[int] = set()
    for part in parts:
        if isinstance(part, BaseHistGradientBoosting):
            checked.update(map(id, _check_ensemble(part, TreePredictor)))
    if any(isinstance(part, TreePredictor) and id(part) not in checked for part in parts):
        raise _damaged()


def _check_ensemble(ensemble: Any, kind: type) -> Iterable[Any]:
    """Look at the trees of an ensemble, and return them."""
    count = getattr(ensemble, "n_features_in_", None)
    categorical = getattr(getattr(ensemble, "_bin_mapper", None), "is_categorical_", None)
    iterations = getattr(ensemble, "_predictors", None)
    if iterations is None:
        # It is not fitted: a search keeps what it began with.
        return []
    trees = [tree for iteration in iterations for tree in iteration]
    if (
        not isinstance(count, int)
        or not isinstance(categorical, np.ndarray)
        or categorical.shape != (count,)
        or not _keeps_columns(getattr(ensemble, "_preprocessor", None), count)
        or not all(type(tree) is kind and _is_sound(tree, categorical) for tree in trees)
    ):
        raise _damaged()
    return trees


def _keeps_columns(encoder: Any, count: int) -> bool:
    """Tell whether what turns categories into numbers gives as many columns as it takes."""
    if encoder is None:
        return True
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 (as above)
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder  # noqa: PLC0415
    from sklearn.utils import check_array  # noqa: PLC0415

    if type(encoder) is not ColumnTransformer or len(encoder.transformers_) < _STEPS:
        return False
    (_, by_category, first), (_, as_it_is, second), *rest = encoder.transformers_
    masks = [np.asarray(first), np.asarray(second)]
    return (
        type(by_category) is OrdinalEncoder
        and type(as_it_is) is FunctionTransformer
        and getattr(as_it_is.func, "func", None) is check_array
        and all(mask.dtype == np.bool_ and mask.shape == (count,) for mask in masks)
        and bool((masks[0] != masks[1]).all())
        and all(step == "drop" for _, step, _ in rest)
    )


def _is_sound(tree: Any, categorical: Any) -> bool:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE  # noqa: PLC0415

    nodes, sets = tree.nodes, tree.raw_left_cat_bitsets
    if not isinstance(nodes, np.ndarray) or nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1:
        return False
    if not isinstance(sets, np.ndarray) or sets.dtype != np.uint32 or sets.shape[1:] != (_WORDS,):
        return False
    numbers = np.arange(len(nodes))
    inner = nodes["is_leaf"] == 0
    feature = nodes["feature_idx"][inner]
    if not len(nodes) or not ((feature >= 0) & (feature < len(categorical))).all():
        return False
    by_category = nodes["is_categorical"][inner] != 0
    # A node's children come after it, in every tree that scikit-learn grows: so there is no circle.
    return bool(
        all(
            ((nodes[side][inner] > numbers[inner]) & (nodes[side][inner] < len(nodes))).all()
            for side in ("left", "right")
        )
        and categorical[feature[by_category]].astype(bool).all()
        and (nodes["bitset_idx"][inner][by_category] < len(sets)).all()
    )


def _damaged() -> UnacceptableError:
    return UnacceptableError("The model holds boosted trees that are damaged.", code="bad_model")
