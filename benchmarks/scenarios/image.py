"""Pictures: a PNG of 28 by 28 pixels as a form, decoded by the hub."""

import io
from typing import Final

import numpy as np
from PIL import Image

from benchmarks.bench import Bench, Point
from benchmarks.contestants.hub import Hub
from benchmarks.hub import Published
from benchmarks.load import Request
from benchmarks.models import bundle

NAME: Final = "image"
TITLE: Final = "A picture of 28 by 28 pixels a request, PNG in a form"

_SIDE: Final = 28
_CLIENTS: Final = (1, 16, 64, 256)
_BOUNDARY: Final = "picture-of-a-digit"


def measure(bench: Bench) -> None:
    """Ask what pictures show."""
    picture, content = _model()
    hub = Hub(
        bench.workspace,
        folder="image",
        models={NAME: Published(bundle=content, requests=(_form(picture),))},
    )
    bench.compare(NAME, [hub], [Point(str(count), count, NAME) for count in _CLIENTS])


def _model() -> tuple[bytes, bytes]:
    """Train on the digits, enlarged; return a PNG and the bundle."""
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from skops.io import dumps  # noqa: PLC0415 (takes seconds to import, and only some scenarios need it)

    pixels, values = load_digits(return_X_y=True)
    small = [Image.fromarray((row.reshape(8, 8) * 15).astype(np.uint8)) for row in pixels]
    pictures = [picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR) for picture in small]
    rows = np.stack([np.asarray(picture, dtype=np.float64).ravel() / 255 for picture in pictures])
    model = LogisticRegression(C=0.1, max_iter=200).fit(rows, values)
    png = io.BytesIO()
    pictures[0].save(png, "PNG")
    description = f'{{"image": {{"size": [{_SIDE}, {_SIDE}], "channels": 1, "scale": 255}}}}'
    return png.getvalue(), bundle({"model.skops": dumps(model), "mlhub.json": description.encode()})


def _form(png: bytes) -> Request:
    head = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="image"; filename="digit.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    return Request(
        path=f"/model/{NAME}/predict",
        headers={"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"},
        body=head.encode() + png + f"\r\n--{_BOUNDARY}--\r\n".encode(),
    )
