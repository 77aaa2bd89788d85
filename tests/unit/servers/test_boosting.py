"""Boosted trees, searches, calibrated and stacked models load from skops files; damaged trees do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dump

from mlhub.common.errors import UnacceptableError
from mlhub.servers import boosting, trees
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.sklearn import SklearnRuntime

# What is damaged here has private names.
# ruff: noqa: SLF001

ROWS, VALUES = load_iris(return_X_y=True)
CLASSES = np.column_stack([np.arange(len(ROWS)) % 5, ROWS])
"""Rows whose first value is one of five categories."""
MODELS = [
    (HistGradientBoostingClassifier(max_iter=4), ROWS),
    (HistGradientBoostingRegressor(max_iter=4), ROWS),
    (HistGradientBoostingRegressor(max_iter=4, categorical_features=[0]), CLASSES),
    (make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=2)), ROWS),
    (GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, cv=3), ROWS),
    (GridSearchCV(HistGradientBoostingClassifier(max_iter=2), {"max_depth": [2, 3]}, cv=KFold(2)), ROWS),
    (CalibratedClassifierCV(GaussianNB()), ROWS),
    (CalibratedClassifierCV(GaussianNB(), method="isotonic"), ROWS),
    (MLPClassifier(3, solver="sgd", max_iter=2000, tol=0.1), ROWS),
    (MLPClassifier(3, max_iter=2000, tol=0.1), ROWS),
    (GaussianProcessRegressor(ConstantKernel() * RBF() + Matern() + WhiteKernel(), optimizer=None), ROWS),
    (StackingClassifier([("bayes", GaussianNB())], LogisticRegression()), ROWS),
    (VotingClassifier([("bayes", GaussianNB())]), ROWS),
]


@pytest.mark.parametrize(("model", "rows"), MODELS, ids=lambda item: type(item).__name__)
def test_they_are_loaded_and_answer_as_they_did(model: Any, rows: Any, tmp_path: Path) -> None:
    model.fit(rows, VALUES)
    dump(model, tmp_path / "model.skops")
    loaded = SklearnRuntime(RuntimeOptions(max_memory=2**30)).load(tmp_path)
    answer = loaded.predict({"input": rows}, ())
    np.testing.assert_allclose(answer["predict"], model.predict(rows))


def fitted() -> Any:
    return HistGradientBoostingRegressor(max_iter=3, categorical_features=[0]).fit(CLASSES, VALUES)


def check(model: Any) -> None:
    boosting.check(list(trees.parts(model)))


def test_sound_ones_are_taken() -> None:
    model = fitted()
    assert any(tree.nodes["is_categorical"].any() for (tree,) in model._predictors), "or this tests nothing"
    check(model)


def damage_child(model: Any, tree: Any) -> None:
    tree.nodes["left"][0] = 10_000


def damage_circle(model: Any, tree: Any) -> None:
    tree.nodes["right"][0] = 0


def damage_feature(model: Any, tree: Any) -> None:
    tree.nodes["feature_idx"][0] = 77


def damage_category(model: Any, tree: Any) -> None:
    tree.nodes["is_categorical"][0], tree.nodes["feature_idx"][0] = 1, 1


def damage_set(model: Any, tree: Any) -> None:
    tree.nodes["is_categorical"][0] = 1
    tree.nodes["feature_idx"][0], tree.nodes["bitset_idx"][0] = 0, 1000


def damage_words(model: Any, tree: Any) -> None:
    tree.raw_left_cat_bitsets = tree.raw_left_cat_bitsets[:, :4]


def damage_layout(model: Any, tree: Any) -> None:
    tree.nodes = tree.nodes[["left", "right"]]


def damage_emptiness(model: Any, tree: Any) -> None:
    tree.nodes = tree.nodes[:0]


def damage_width(model: Any, tree: Any) -> None:
    model.n_features_in_ = 50


def damage_binning(model: Any, tree: Any) -> None:
    model._bin_mapper.is_categorical_ = model._bin_mapper.is_categorical_[:2]


def damage_encoder(model: Any, tree: Any) -> None:
    model._preprocessor = StandardScaler()


def damage_columns(model: Any, tree: Any) -> None:
    name, step, mask = model._preprocessor.transformers_[1]
    model._preprocessor.transformers_[1] = (name, step, mask & False)


def damage_step(model: Any, tree: Any) -> None:
    name, _, mask = model._preprocessor.transformers_[1]
    model._preprocessor.transformers_[1] = (name, StandardScaler(), mask)


@pytest.mark.parametrize(
    "damage",
    [
        damage_child,
        damage_circle,
        damage_feature,
        damage_category,
        damage_set,
        damage_words,
        damage_layout,
        damage_emptiness,
        damage_width,
        damage_binning,
        damage_encoder,
        damage_columns,
        damage_step,
    ],
)
def test_damaged_ones_are_refused_before_they_are_followed(damage: Any) -> None:
    model = fitted()
    (tree,) = model._predictors[1]
    tree.nodes = tree.nodes.copy()
    damage(model, tree)
    with pytest.raises(UnacceptableError, match="damaged"):
        check(model)


def test_a_tree_without_its_ensemble_is_refused() -> None:
    with pytest.raises(UnacceptableError, match="damaged"):
        check({"tree": fitted()._predictors[0][0]})
