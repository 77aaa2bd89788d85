"""The sample model: scikit-learn's handwritten digits, trained here and now."""

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from mlhub.client import Client, HubError
from mlhub.common.errors import MLHubError
from mlhub.common.tensor import Array

NAME: Final = "digits"
_DESCRIPTION: Final = "Handwritten digits, 8 by 8 pixels: logistic regression on scikit-learn's own data set."


class SampleError(MLHubError):
    """The sample model does not do what it should."""

    code = "sample_failed"


class Digit(msgspec.Struct, frozen=True):
    """A picture that the model was not trained on."""

    pixels: list[float]
    """64 values from 0 to 16, row by row."""
    value: int
    """What it shows, as the people who labelled it say."""


def publish(client: Client) -> bool:
    """Train and publish the sample model unless it is there; tell whether it was not."""
    try:
        if client.model(NAME).state == "ready":
            return False
    except HubError as error:
        if error.status != 404:  # noqa: PLR2004 (the status for what is not there)
            raise
        client.create(
            NAME,
            type="ScikitLearn",
            description=_DESCRIPTION,
            discipline="computer vision",
            tags=["sample", "classification"],
            reference="https://archive.ics.uci.edu/dataset/80",
            input_example=held_out().pixels,
        )
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / f"{NAME}.tar.gz"
        _write_bundle(bundle)
        client.upload(NAME, bundle, wait=60)
    return True


def predict(client: Client) -> int:
    """Predict the held-out digit through the hub.

    Raises:
        SampleError: the answer is wrong.
    """
    digit = held_out()
    answer = int(np.asarray(client.predict(NAME, digit.pixels)))
    if answer != digit.value:
        raise SampleError(f"The sample model took a {digit.value} for a {answer}.")
    return answer


def held_out() -> Digit:
    """Return the first picture of the part that the model is not trained on."""
    pixels, values = _data()
    return Digit([float(value) for value in pixels[0]], int(values[0]))


def _data() -> tuple[Array, Array]:
    """Return pictures, [1797, 64], and what they show, [1797]; the first 297 are for testing."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 (takes a second to import)

    pixels, values = load_digits(return_X_y=True)
    return pixels, values


def _write_bundle(path: Path) -> None:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (the same)
    from skops.io import dumps  # noqa: PLC0415 (takes a second to import)

    pixels, values = _data()
    held = 297
    model = LogisticRegression(max_iter=2000).fit(pixels[held:] / 16.0, values[held:])
    # Trained on values from 0 to 1, used on values from 0 to 16.
    model.coef_ = model.coef_ / 16.0
    files: dict[str, Any] = {
        "model.skops": dumps(model),
        "mlhub.json": msgspec.json.encode({"input_example": [float(value) for value in pixels[0]]}),
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{NAME}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
