"""Makes a hub whose processes have this on their path count and tell nothing: for `watching` alone.

Python imports this at its start. The modules named here are loaded as they are, and then lose what operators
get: numbers, signs of life, and ids of requests.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

Change = Callable[[Any], None]


def _nothing(*given: Any, **named: Any) -> None:
    del given, named


async def _nothing_later(*given: Any) -> None:
    del given


@contextmanager
def _unmeasured(meter: Any) -> Iterator[None]:
    del meter
    yield


def _metering(module: Any) -> None:
    module.RouteMeter.took = _nothing


def _meter(module: Any) -> None:
    module.BatchMeter.sent = module.BatchMeter.answered = _nothing


def _measured(module: Any) -> None:
    def predict(adapter: Any, *given: Any) -> Any:
        return adapter._adapter.predict(*given)  # noqa: SLF001 (it has no other name)

    module.MeasuredAdapter.predict = predict


def _servers(module: Any) -> None:
    module.InferenceMeter.measured = _unmeasured


def _beat(module: Any) -> None:
    module.Beat._run = _nothing_later  # noqa: SLF001 (the same)


def _pulse(module: Any) -> None:
    module.Heartbeat._send = _nothing  # noqa: SLF001 (the same)


def _middleware(module: Any) -> None:
    module.RequestId.begin = module.RequestId.name = lambda *_: "-"


def _logs(module: Any) -> None:
    module.portable = lambda _: ""


_CHANGES: Final[dict[str, Change]] = {
    "mlhub.common.logs": _logs,
    "mlhub.api.operations.metering": _metering,
    "mlhub.api.gateway.meter": _meter,
    "mlhub.workers.adapters.measured": _measured,
    "mlhub.servers.metrics": _servers,
    "mlhub.api.operations.beat": _beat,
    "mlhub.workers.pulse": _pulse,
    "mlhub.api.middleware": _middleware,
}


class Blindfold(MetaPathFinder):
    """Finds these modules as Python does, and changes them once they are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find one of them; nothing for all others."""
        change = _CHANGES.get(fullname)
        spec = None if change is None else PathFinder.find_spec(fullname, path, target)
        if change is None or spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_changed(module: ModuleType) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = load_changed  # type: ignore[method-assign] # of this loader alone
        return spec


sys.meta_path.insert(0, Blindfold())
