"""Trees and forests load; those with damaged nodes do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skops.io import dump

from mlhub.common.errors import UnacceptableError
from mlhub.servers import trees
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.sklearn import SklearnRuntime

ROWS, VALUES = load_iris(return_X_y=True)
MODELS = [
    DecisionTreeClassifier(random_state=0),
    RandomForestClassifier(5, random_state=0),
    RandomForestRegressor(5, random_state=0),
    GradientBoostingRegressor(n_estimators=3, random_state=0),
    ExtraTreesClassifier(5, random_state=0),
    make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_trees_are_loaded_and_answer_as_they_did(model: Any, tmp_path: Path) -> None:
    model.fit(ROWS, VALUES)
    dump(model, tmp_path / "model.skops")
    loaded = SklearnRuntime(RuntimeOptions(max_memory=2**30)).load(tmp_path)
    answer = loaded.predict({"input": ROWS}, ())
    np.testing.assert_array_equal(answer["predict"], model.predict(ROWS))


def damage_child(state: dict[str, Any]) -> None:
    state["nodes"]["left_child"][0] = 10_000


def damage_circle(state: dict[str, Any]) -> None:
    state["nodes"]["right_child"][0] = 0


def damage_half_leaf(state: dict[str, Any]) -> None:
    state["nodes"]["right_child"][0] = -1


def damage_feature(state: dict[str, Any]) -> None:
    state["nodes"]["feature"][0] = 77


def damage_count(state: dict[str, Any]) -> None:
    state["node_count"] = 10**6


@pytest.mark.parametrize(
    "damage", [damage_child, damage_circle, damage_half_leaf, damage_feature, damage_count]
)
def test_damaged_trees_are_refused_before_they_are_followed(damage: Any) -> None:
    model = RandomForestClassifier(2, random_state=0).fit(ROWS, VALUES)
    tree = model.estimators_[1].tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    damage(state)
    tree.__setstate__(state)
    with pytest.raises(UnacceptableError, match="damaged"):
        trees.check(trees.parts(model))
