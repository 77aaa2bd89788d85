"""Rows as TFaaS is asked for them."""

import numpy as np

from mlhub.common import tensor
from mlhub.common.errors import BackendRefusedError
from mlhub.workers.adapters.tfaas.rows import calls


def test_rows_that_it_cannot_take_are_refused_one_by_one() -> None:
    rows = np.array([[1, 2], [np.nan, 2], [1e300, 2]])
    good, lacking, large = calls([tensor.encode("x", rows)], "m")
    assert not isinstance(good, BackendRefusedError)
    assert str(lacking) == "TFaaS takes no missing values."
    assert "too large for FP32" in str(large)
