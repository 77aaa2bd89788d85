"""Input as an array in numpy's file format."""

from mlhub.api.inputs.base import check_outputs
from mlhub.api.services.predictions import Order
from mlhub.api.services.routes import Route
from mlhub.common import npy, rows


class ArrayInput:
    """One array: a row, or rows."""

    model = None
    version = None

    def __init__(self, content: bytes) -> None:
        """Read it.

        Raises:
            MalformedError: it is no such file.
        """
        self._array = npy.decode(content)

    async def order(self, route: Route, outputs: tuple[str, ...]) -> Order:
        """Check it against what the model takes."""
        given = rows.from_array(self._array, route.signature)
        return Order(route, given, check_outputs(outputs, route.signature))
