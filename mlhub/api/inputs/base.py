"""What all forms of input have in common."""

from typing import Protocol

from mlhub.api.services.predictions import Order
from mlhub.api.services.routes import Route
from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import Signature


class Input(Protocol):
    """An input that was read; what it means is known once it meets its model."""

    @property
    def model(self) -> str | None:
        """The model it names, where the address does not."""
        ...

    @property
    def version(self) -> str | None:
        """The version it names."""
        ...

    async def order(self, route: Route, outputs: tuple[str, ...]) -> Order:
        """Check it against what the model takes.

        Args:
            route: the version that will predict.
            outputs: names that the address asks for.

        Raises:
            MalformedError: it cannot be read.
            UnacceptableError: it does not fit.
        """
        ...


def check_outputs(names: tuple[str, ...], signature: Signature) -> tuple[str, ...]:
    """Return the names of outputs if the model has them.

    Raises:
        UnacceptableError: it has not.
    """
    known = {spec.name for spec in signature.outputs}
    for name in names:
        if known and name not in known:
            raise UnacceptableError(
                f"The model has no output {name!r}; it gives {', '.join(sorted(known))}.", code="bad_output"
            )
    return names
