"""What compiled code would read past its arrays, or from files, is not served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from skops.io import dump

from mlhub.common.errors import UnacceptableError
from mlhub.servers.options import RuntimeOptions
from mlhub.servers.sklearn import SklearnModel, SklearnRuntime

# What is damaged here has private names.
# ruff: noqa: SLF001

ROWS = np.random.default_rng(2).normal(size=(60, 3))
CLASSES = np.arange(60) % 3


TRUSTED = ("scipy.sparse._csr.csr_array", "scipy.sparse._csr.csr_matrix")


def load(folder: Path, estimator: Any) -> SklearnModel:
    dump(estimator, folder / "model.skops")
    return SklearnRuntime(RuntimeOptions(max_memory=2**30, trusted=TRUSTED)).load(folder)


@pytest.mark.parametrize(
    "estimator",
    [
        SVC(),
        NuSVC(),
        SVR(),
        NuSVR(),
        OneClassSVM(),
        make_pipeline(StandardScaler(with_mean=False), SVC(kernel="linear")),
        KMeans(2, n_init=1),
        MiniBatchKMeans(2, n_init=1),
        KNeighborsClassifier(algorithm="brute"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_what_was_fitted_is_served(tmp_path: Path, estimator: Any, sparse: bool) -> None:
    estimator.fit(scipy.sparse.csr_array(ROWS) if sparse else ROWS, CLASSES)
    expected = estimator.predict(ROWS)
    np.testing.assert_allclose(load(tmp_path, estimator).predict({"input": ROWS}, ())["predict"], expected)


def test_a_machine_of_kernel_values_is_served(tmp_path: Path) -> None:
    estimator = SVC(kernel="precomputed").fit(ROWS @ ROWS.T, CLASSES)
    answer = load(tmp_path, estimator).predict({"input": ROWS @ ROWS.T}, ())["predict"]
    np.testing.assert_array_equal(answer, estimator.predict(ROWS @ ROWS.T))


def _many_classes(machine: Any) -> None:
    # Without a look at it, this ends the process.
    machine._n_support = np.append(machine._n_support, np.zeros(3000, np.int32))


def _few_coefficients(machine: Any) -> None:
    machine._dual_coef_ = machine._dual_coef_[:, :1].copy()


def _few_intercepts(machine: Any) -> None:
    machine._intercept_ = machine._intercept_[:1]


def _narrow_vectors(machine: Any) -> None:
    machine.support_vectors_ = machine.support_vectors_[:, :1].copy()


def _no_vectors(machine: Any) -> None:
    machine.support_vectors_ = np.zeros((0, 3))


def _negative_counts(machine: Any) -> None:
    machine._n_support = machine._n_support + np.array([-30, 30, 0], np.int32)


def _far_places(machine: Any) -> None:
    machine.support_ = machine.support_ + np.int32(10**6)


def _other_kind(machine: Any) -> None:
    machine._impl = "epsilon_svr"


@pytest.mark.parametrize(
    "damage",
    [
        _many_classes,
        _few_coefficients,
        _few_intercepts,
        _narrow_vectors,
        _no_vectors,
        _negative_counts,
        _far_places,
        _other_kind,
    ],
)
def test_a_damaged_machine_is_not(tmp_path: Path, damage: Callable[[Any], None]) -> None:
    machine = SVC().fit(ROWS, CLASSES)
    damage(machine)
    with pytest.raises(UnacceptableError, match="holds a SVC that is damaged"):
        load(tmp_path, make_pipeline(StandardScaler().fit(ROWS), machine))


def test_clusters_and_neighbours_are_as_wide_as_rows(tmp_path: Path) -> None:
    clusters = KMeans(2, n_init=1).fit(ROWS)
    clusters.cluster_centers_ = clusters.cluster_centers_[:, :1].copy()
    with pytest.raises(UnacceptableError, match="KMeans that is damaged"):
        load(tmp_path, clusters)
    neighbours = KNeighborsClassifier(algorithm="brute").fit(ROWS, CLASSES)
    neighbours._fit_X = neighbours._fit_X[:, :1].copy()
    with pytest.raises(UnacceptableError, match="KNeighborsClassifier that is damaged"):
        load(tmp_path, neighbours)


def test_clusters_are_found_in_one_thread(tmp_path: Path) -> None:
    clusters = KMeans(2, n_init=1).fit(ROWS)
    clusters._n_threads = 10**6
    answer = load(tmp_path, clusters).predict({"input": ROWS}, ())["predict"]
    np.testing.assert_array_equal(answer, clusters.labels_)


def test_texts_are_never_names_of_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("abc")
    words = CountVectorizer(analyzer="char")
    # Whatever is tried when it is loaded is a file that there is.
    first = SimpleImputer(missing_values="", strategy="constant", fill_value=str(secret))
    picker = ColumnTransformer([("words", words, "note")])
    table = pd.DataFrame({"note": ["abcdef", "b"]})
    estimator = make_pipeline(first.set_output(transform="pandas"), picker).fit(table)
    picker.named_transformers_["words"].input = "filename"
    with pytest.raises(UnacceptableError, match="CountVectorizer reads the files that its input names"):
        load(tmp_path, estimator)
    for reader in (TfidfVectorizer(input="file"), HashingVectorizer(input="filename")):
        with pytest.raises(UnacceptableError, match="reads the files"):
            load(tmp_path, make_pipeline(reader))


def test_a_model_cannot_have_huge_rows_made_to_try_it(tmp_path: Path) -> None:
    scaler = StandardScaler().fit(ROWS)
    scaler.n_features_in_ = 2**31
    with pytest.raises(UnacceptableError, match=r"a row of its 'input' has 2147483648 values"):
        load(tmp_path, scaler)
    spec = {"name": "x", "datatype": "FP64", "shape": [-1, 2**20, 2**20]}
    (tmp_path / "mlhub.json").write_text(json.dumps({"signature": {"inputs": [spec]}}))
    with pytest.raises(UnacceptableError, match=r"a row of its 'x' has 1099511627776 values"):
        load(tmp_path, StandardScaler().fit(ROWS))
