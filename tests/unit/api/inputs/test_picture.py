"""Pictures of every kind become what a model takes, or are refused."""

import asyncio
import io
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlhub.api.inputs import picture
from mlhub.api.inputs.image import ImageInput
from mlhub.api.services.routes import Route
from mlhub.common.errors import UnacceptableError
from mlhub.common.image import ImageSpec, plan
from mlhub.common.signature import Signature, TensorSpec


def decoded(content: bytes, *shape: int, datatype: str = "FP32", **said: Any) -> Any:
    signature = Signature((TensorSpec("x", datatype, shape),))
    return picture.decode(content, plan(msgspec.convert(said, ImageSpec), signature))


def file_of(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
COLOUR = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)


def test_grey_pixels_come_as_they_are_in_every_layout() -> None:
    content = file_of(GREY)
    for shape in ((-1, 64), (-1, 8, 8), (-1, 8, 8, 1), (-1, 1, 8, 8), (1, 8, 8, 1), (8, 8, 1), (64,)):
        got = decoded(content, *shape)
        assert got.shape == tuple(1 if extent == -1 else extent for extent in shape)
        np.testing.assert_array_equal(got.reshape(8, 8), GREY)


def test_colours_come_last_or_first() -> None:
    content = file_of(COLOUR)
    np.testing.assert_array_equal(decoded(content, -1, 8, 8, 3)[0], COLOUR)
    np.testing.assert_array_equal(decoded(content, -1, 3, 8, 8)[0], COLOUR.transpose(2, 0, 1))
    np.testing.assert_array_equal(decoded(content, -1, 192)[0], COLOUR.reshape(-1))
    np.testing.assert_array_equal(
        decoded(content, -1, 192, layout="CHW")[0], COLOUR.transpose(2, 0, 1).reshape(-1)
    )


def test_values_are_changed_as_the_bundle_says() -> None:
    content = file_of(COLOUR)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    got = decoded(content, -1, 8, 8, 3, scale=255, mean=mean, std=std)[0]
    np.testing.assert_allclose(got, (COLOUR / 255 - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(decoded(content, -1, 8, 8, 3, invert=True)[0], 255 - COLOUR)
    np.testing.assert_array_equal(decoded(content, -1, 8, 8, 3, datatype="UINT8")[0], COLOUR)
    assert decoded(content, -1, 8, 8, 3, datatype="INT8")[0].max() == 127, "cut to what fits"


def test_other_sizes_are_fitted_and_open_ones_kept() -> None:
    large = file_of(np.full((50, 30), 77, np.uint8))
    np.testing.assert_array_equal(decoded(large, -1, 8, 8), np.full((1, 8, 8), 77))
    assert decoded(large, -1, -1, -1, 1).shape == (1, 50, 30, 1)
    assert decoded(large, -1, -1, -1, 1, size=(5, 6)).shape == (1, 5, 6, 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_kind_of_png_becomes_every_number_of_channels(mode: str, channels: int) -> None:
    image = (
        Image.fromarray(np.full((8, 8), 65535, np.uint16)) if mode == "I;16" else Image.new(mode, (8, 8), 1)
    )
    if mode != "I;16":
        image = Image.new("L", (8, 8), 255).convert(mode)
    got = decoded(file_of(image), -1, 8, 8, channels)
    np.testing.assert_array_equal(got, np.full((1, 8, 8, channels), 255))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs_are_taken(mode: str) -> None:
    image = Image.new("RGB", (8, 8), "white").convert(mode)
    got = decoded(file_of(image, "JPEG"), -1, 8, 8, 3)
    np.testing.assert_allclose(got, 255, atol=2)


def test_what_shines_through_is_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    np.testing.assert_array_equal(decoded(file_of(clear), -1, 64), np.full((1, 64), 255))
    np.testing.assert_array_equal(decoded(file_of(clear), -1, 8, 8, 4), np.zeros((1, 8, 8, 4)))
    palette = Image.new("P", (8, 8), 0)
    np.testing.assert_array_equal(decoded(file_of(palette, transparency=0), -1, 64), np.full((1, 64), 255))


def test_sixteen_bits_keep_their_range() -> None:
    wide = (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)
    np.testing.assert_array_equal(decoded(file_of(wide), -1, 8, 8)[0], np.rint(wide / 257))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_are_turned_as_they_were_seen(orientation: int, kind: str) -> None:
    from PIL import ImageOps

    quarter = np.zeros((32, 32), np.uint8)
    quarter[:16, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(quarter, kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(decoded(content, -1, 32, 32)[0], np.asarray(expected))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    for mode, size in (("1", (30_000, 30_000)), ("L", (60_000, 1000))):
        with pytest.raises(UnacceptableError, match="pixels"):
            decoded(file_of(Image.new(mode, size)), -1, 64)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((-1, 30_000, 30_000, 3), {}), ((-1, -1, -1, 1), {"size": (16_384, 16_384)}), ((-1, 2**30, -1), {})],
)
def test_a_model_cannot_have_huge_pictures_made(shape: tuple[int, ...], said: Any) -> None:
    with pytest.raises(UnacceptableError, match="pixels here, and at most 50000000 are made"):
        decoded(file_of(GREY), *shape, **said)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(UnacceptableError, match="not a PNG or JPEG"):
        decoded(file_of(GREY, kind), -1, 64)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of broken notes in EXIF
@settings(deadline=None)
@given(st.sampled_from(["PNG", "JPEG"]), st.integers(0, 400), st.integers(0, 400), st.binary(max_size=40))
def test_damaged_files_are_refused_or_read_and_nothing_else(
    kind: str, start: int, end: int, noise: bytes
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = file_of(COLOUR, kind, exif=exif)
    try:
        got = decoded(content[:start] + noise + content[end:], -1, 64)
    except UnacceptableError as error:
        assert error.code == "bad_image"
    else:
        assert got.shape == (1, 64)


def test_a_server_that_decodes_pictures_itself_gets_files() -> None:
    content = file_of(GREY)
    assert picture.refit(content, ImageSpec()) == content, "what fits stays as it is"
    fitted = Image.open(io.BytesIO(picture.refit(content, ImageSpec(size=(4, 6), channels=3))))
    assert (fitted.format, fitted.size, fitted.mode) == ("PNG", (6, 4), "RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(picture.refit(file_of(COLOUR[:, :4], "JPEG", exif=exif), ImageSpec())))
    assert turned.size == (8, 4), "the server would not turn it"
    with pytest.raises(UnacceptableError):
        picture.refit(content[:-30], ImageSpec())


def test_the_input_of_such_a_model_is_the_files() -> None:
    signature = Signature((TensorSpec("image", "BYTES", (-1,)),))
    route = Route("m", "1", "tf", "1-x", signature, ())
    first, second = file_of(GREY), file_of(COLOUR)
    order = asyncio.run(ImageInput([first]).order(route, ()))
    assert (order.rows.inputs["image"].tolist(), order.rows.single) == ([first], True)
    order = asyncio.run(ImageInput([first, second]).order(route, ()))
    assert (order.rows.inputs["image"].tolist(), order.rows.count, order.rows.single) == (
        [first, second],
        2,
        False,
    )
