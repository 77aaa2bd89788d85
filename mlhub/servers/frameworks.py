"""The frameworks that have a model server of MLHub's own: one line each."""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Final, cast

import msgspec

from mlhub.common.errors import UnacceptableError
from mlhub.servers.options import RuntimeOptions

if TYPE_CHECKING:
    # The protocol brings numpy, which the process that only watches does without.
    from mlhub.servers.runtime import Runtime


class Framework(msgspec.Struct, frozen=True):
    """Where the runtime of a framework is, and what it needs."""

    module: str
    """Module of the runtime's class; imported when a server starts."""
    runtime: str
    """Name of the class, called with `RuntimeOptions`."""
    needs: tuple[str, ...]
    """Modules that the optional extra of the same name brings."""
    engines: tuple[str, ...] = ()
    """Modules of which it needs any one besides; the extra brings the first."""


FRAMEWORKS: Final = {
    "sklearn": Framework("mlhub.servers.sklearn", "SklearnRuntime", needs=("sklearn", "skops")),
    "pytorch": Framework("mlhub.servers.pytorch", "PyTorchRuntime", needs=("torch",)),
    "keras": Framework(
        "mlhub.servers.keras", "KerasRuntime", needs=("keras",), engines=("torch", "tensorflow", "jax")
    ),
    "tensorflow": Framework("mlhub.servers.tensorflow", "TensorFlowRuntime", needs=("tensorflow",)),
}
"""By the name that `mlhub serve` takes; each has an extra of that name."""


def check_framework(name: str) -> Framework:
    """Return the framework of that name when it is there and installed, without importing any of it.

    Raises:
        UnacceptableError: there is none of that name, or what it needs is not installed.
    """
    framework = FRAMEWORKS.get(name)
    if framework is None:
        raise UnacceptableError(
            f"There is no model server for {name!r}; there is one for {', '.join(FRAMEWORKS)}.",
            code="unknown_framework",
        )
    missing = [module for module in framework.needs if importlib.util.find_spec(module) is None]
    if framework.engines and not any(importlib.util.find_spec(module) for module in framework.engines):
        missing.append(framework.engines[0])
    if missing:
        raise UnacceptableError(
            f"The model server for {name} needs {' and '.join(missing)}: pip install 'mlhub[{name}]'.",
            code="framework_missing",
        )
    return framework


def create_runtime(name: str, options: RuntimeOptions) -> "Runtime":
    """Import the runtime of a framework and build it.

    Raises:
        UnacceptableError: there is none of that name, or what it needs is not installed.
    """
    framework = check_framework(name)
    runtime = getattr(importlib.import_module(framework.module), framework.runtime)
    return cast("Runtime", runtime(options))
