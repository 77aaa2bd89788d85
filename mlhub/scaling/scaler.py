"""The seam to whatever runs the processes of pools."""

from typing import Protocol

from mlhub.common.errors import MLHubError
from mlhub.common.pool import PoolKind


class ScalerError(MLHubError):
    """What runs the processes does not do as it was told; the same may work later."""

    code = "scaler_failed"


class Scaler(Protocol):
    """Starts and ends processes of pools. Those that end finish first what they hold."""

    def keep(self, backend: str, kind: PoolKind, count: int) -> int | None:
        """Begin to bring a pool to a size, or go on with it, without waiting; called again and again.

        Returns:
            How many processes it has, those about to end among them; nothing if there is no such pool here.

        Raises:
            ScalerError: whoever runs the processes does not do as told.
        """
