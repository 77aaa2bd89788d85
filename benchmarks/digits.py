"""The model of the comparison: scikit-learn's digits, logistic regression, 64 features, one row a request."""

from functools import cache
from typing import Any, Final

from mlhub.local import sample

NAME: Final = sample.NAME


@cache
def trained() -> sample.Sample:
    """Train it, once a run."""
    return sample.train()


def hub_body() -> Any:
    """Return the body of a request to the hub."""
    return {"input": trained().digit.pixels}


def oip_body() -> Any:
    """Return the body of a request of the Open Inference Protocol."""
    tensor = {"name": "input", "datatype": "FP64", "shape": [1, 64], "data": trained().digit.pixels}
    return {"inputs": [tensor]}
