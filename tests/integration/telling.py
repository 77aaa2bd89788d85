"""A hub that tells all it can: it logs everything, and sends traces of those requests that ask for it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skops.io import dumps

from tests.integration.conftest import Hub, bundle

TOKEN: Final = "token-nobody-may-read"
SIGNING: Final = "c2VjcmV0cyBub2JvZHkgbWF5IHJlYWQsIGV2ZXI="
WORDS: Final = {
    "inputs": [{"name": "x", "datatype": "BYTES", "shape": [-1, 1]}],
    "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
}
"""Signature of the model of words."""


def ask(hub: Hub, method: str, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return hub.call(method, path, headers={"Authorization": f"Bearer {TOKEN}", **(headers or {})}, **body)


@contextmanager
def running_telling(make_running_hub: Any, digits: Any, collector: str) -> Iterator[Hub]:
    """Run it, with a model of numbers and one of words."""
    words = [["red"], ["green"], ["blue"]]
    estimator = make_pipeline(OneHotEncoder(), Ridge()).fit(words, [1.0, 2.0, 3.0])
    variables = {
        "MLHUB_DATABASE": f"telling-{secrets.token_hex(4)}",
        "MLHUB_TOKEN": TOKEN,
        "MLHUB_WEBHOOK_SECRET": f"whsec_{SIGNING}",
        "MLHUB_WEBHOOK_PRIVATE": "127.0.0.1/32",
        "MLHUB_WEBHOOK_PAUSE": "0.1",
        "MLHUB_LOG_FORMAT": "json",
        "MLHUB_LOG_LEVEL": "DEBUG",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    with make_running_hub("telling", **variables) as hub:
        for name, content in {
            "digits": digits.bundle,
            "words": bundle(
                {"model.skops": dumps(estimator), "mlhub.json": msgspec.json.encode({"signature": WORDS})}
            ),
        }.items():
            assert ask(hub, "POST", f"/model/{name}", json={"type": "ScikitLearn"}).status_code == 201
            headers = {"Content-Type": "application/octet-stream", "Prefer": "wait=120"}
            answer = ask(hub, "POST", f"/model/{name}/upload", headers, data=content)
            assert answer.status_code == 201, answer.text
        yield hub
