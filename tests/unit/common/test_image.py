"""What a bundle says of pictures, completed by what the model takes."""

from typing import Any

import msgspec
import pytest

from mlhub.common.errors import UnacceptableError
from mlhub.common.image import ImageSpec, plan
from mlhub.common.signature import Signature, TensorSpec


def takes(*shape: int, datatype: str = "FP32") -> Signature:
    return Signature((TensorSpec("x", datatype, shape),))


@pytest.mark.parametrize(
    ("shape", "said", "size", "channels", "layout"),
    [
        ((-1, 64), {}, (8, 8), 1, "HWC"),
        ((-1, 784), {}, (28, 28), 1, "HWC"),
        ((-1, 3072), {}, (32, 32), 3, "HWC"),
        ((-1, 3072), {"layout": "CHW"}, (32, 32), 3, "CHW"),
        ((-1, 6), {"size": (2, 3)}, (2, 3), 1, "HWC"),
        ((-1, 18), {"size": (2, 3)}, (2, 3), 3, "HWC"),
        ((-1, -1), {"size": (2, 3)}, (2, 3), 1, "HWC"),
        ((-1, 28, 28), {}, (28, 28), 1, "HWC"),
        ((1, 28, 28), {}, (28, 28), 1, "HWC"),
        ((-1, 28, 28, 1), {}, (28, 28), 1, "HWC"),
        ((1, 28, 28, 1), {}, (28, 28), 1, "HWC"),
        ((-1, 1, 28, 28), {}, (28, 28), 1, "CHW"),
        ((-1, 3, 224, 224), {}, (224, 224), 3, "CHW"),
        ((-1, 3, 32, 3), {}, (3, 32), 3, "HWC"),
        ((-1, 3, 32, 3), {"layout": "CHW"}, (32, 3), 3, "CHW"),
        ((-1, -1, -1, 3), {}, (None, None), 3, "HWC"),
        ((-1, -1, -1, 3), {"size": (9, 8)}, (9, 8), 3, "HWC"),
        ((-1, -1, -1, -1), {"channels": 1}, (None, None), 1, "HWC"),
        ((-1, 3, -1, -1), {}, (None, None), 3, "CHW"),
        ((-1, -1, 32, 32), {}, (32, 32), 3, "CHW"),
        ((-1, 32, 32, 4), {}, (32, 32), 4, "HWC"),
    ],
)
def test_the_shape_tells_what_the_bundle_leaves_out(
    shape: tuple[int, ...], said: dict[str, Any], size: Any, channels: int, layout: str
) -> None:
    found = plan(msgspec.convert(said, ImageSpec), takes(*shape))
    assert (found.size, found.channels, found.layout) == (size, channels, layout)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (takes(-1, 63), {}),
        (takes(-1, -1), {}),
        (takes(-1), {}),
        (takes(-1, 64), {"size": (8, 9)}),
        (takes(-1, 64), {"channels": 3}),
        (takes(-1, 28, 28, 1), {"channels": 3}),
        (takes(-1, 28, 28, 1), {"size": (28, 29)}),
        (takes(-1, 28, 28, 2), {}),
        (takes(-1, 2, 3, 4, 5), {}),
        (takes(-1, 64, datatype="BYTES"), {}),
        (takes(-1, 8, 8, 3), {"mean": (0.5, 0.5)}),
        (Signature((TensorSpec("a", "FP32", (-1, 64)), TensorSpec("b", "FP32", (-1, 64)))), {}),
        (Signature(()), {}),
    ],
)
def test_models_that_take_no_pictures_say_so(signature: Signature, said: dict[str, Any]) -> None:
    with pytest.raises(UnacceptableError, match="Pictures do not fit") as caught:
        plan(msgspec.convert(said, ImageSpec), signature)
    assert caught.value.code == "no_image_input"


@pytest.mark.parametrize(
    "said",
    [
        {"size": [0, 3]},
        {"size": [3]},
        {"channels": 2},
        {"scale": 0},
        {"std": [1, 0, 1]},
        {"mean": []},
        {"layout": "WHC"},
        {"colour": True},
    ],
)
def test_a_description_that_cannot_be_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(said, ImageSpec)
