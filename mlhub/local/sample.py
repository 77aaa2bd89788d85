"""The sample model: scikit-learn's handwritten digits, trained here and now."""

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from mlhub.client import Client, HubError
from mlhub.client.records import Model
from mlhub.common.errors import MLHubError

NAME: Final = "digits"
_DESCRIPTION: Final = (
    "Handwritten digits of 8 by 8 pixels from 0 to 16, row by row: logistic regression on the data set "
    "that comes with scikit-learn."
)
_PICTURES: Final = {"size": [8, 8], "channels": 1, "scale": 15.9375}
"""How pictures become its rows: grey values from 0 to 255 become those from 0 to 16."""
_HELD_OUT: Final = 0.2
"""Part of the data that the model is not trained on."""


class SampleError(MLHubError):
    """The sample model does not do what it should."""

    code = "sample_failed"


class Digit(msgspec.Struct, frozen=True):
    """A picture that the model was not trained on; part of the model's entry."""

    pixels: list[int]
    """64 values from 0 to 16, row by row."""
    value: int
    """What it shows, as the people who labelled it say."""


class Sample(msgspec.Struct, frozen=True):
    """The sample model, trained."""

    bundle: bytes
    """As it is uploaded."""
    accuracy: float
    """Share of the held-out pictures that it knows."""
    digit: Digit
    """One of those."""


def offer(client: Client) -> Digit | None:
    """Publish the sample model unless it is there; return a digit to try it with.

    Returns:
        Nothing when there is a model of that name that is somebody's own.

    Raises:
        SampleError: it does not get ready.
    """
    entry = _find(client)
    if entry is not None and entry.state == "ready":
        return _digit(entry)
    if entry is not None and _digit(entry) is None:
        return None
    sample = train()
    if entry is None:
        client.create(
            NAME,
            type="ScikitLearn",
            description=_DESCRIPTION,
            reference="https://archive.ics.uci.edu/dataset/80",
            discipline="computer vision",
            tags=["sample", "classification"],
            meta={"accuracy": sample.accuracy, "held_out": msgspec.to_builtins(sample.digit)},
            input_example=sample.digit.pixels,
        )
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / f"{NAME}.tar.gz"
        bundle.write_bytes(sample.bundle)
        version = client.upload(NAME, bundle)
    if version.state != "ready":
        raise SampleError(f"The sample model {NAME!r} does not get ready; it is {version.state}.")
    return sample.digit


def check(client: Client, digit: Digit) -> int:
    """Predict a digit through the hub and return the answer.

    Raises:
        SampleError: it is wrong.
    """
    answer = int(client.predict(NAME, digit.pixels))
    if answer != digit.value:
        raise SampleError(f"The sample model {NAME!r} took a {digit.value} for a {answer}.")
    return answer


def train() -> Sample:
    """Train the model, and find a held-out digit that it knows."""
    # scikit-learn takes seconds to import; a hub that has the sample does without.
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    pictures, values = load_digits(return_X_y=True)
    seen, held_out, known, wanted = train_test_split(
        pictures, values, test_size=_HELD_OUT, stratify=values, random_state=0
    )
    model = LogisticRegression(C=0.01, max_iter=2000).fit(seen, known)
    right = model.predict(held_out) == wanted
    first = int(right.argmax())
    return Sample(
        bundle=_bundle(model),
        accuracy=round(float(right.mean()), 4),
        digit=Digit([int(pixel) for pixel in held_out[first]], int(wanted[first])),
    )


def _bundle(model: Any) -> bytes:
    from skops.io import dumps  # noqa: PLC0415 (takes a second to import)

    files = {"model.skops": dumps(model), "mlhub.json": msgspec.json.encode({"image": _PICTURES})}
    bundle = io.BytesIO()
    with tarfile.open(fileobj=bundle, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{NAME}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return bundle.getvalue()


def _find(client: Client) -> Model | None:
    try:
        return client.model(NAME)
    except HubError as error:
        if error.code != "model_not_found":
            raise
        return None


def _digit(entry: Model) -> Digit | None:
    try:
        return msgspec.convert(entry.meta.get("held_out"), Digit)
    except msgspec.ValidationError:
        return None
