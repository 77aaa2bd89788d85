"""A hub that is observed: it logs everything, and sends traces."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.collector import Collector, collecting
from tests.integration.conftest import Hub
from tests.integration.telling import running_telling


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Gets the traces of the hub."""
    with collecting() as collector:
        yield collector


# It ends with each file, since other hubs on the same broker hear of its workers.
@pytest.fixture(scope="module")
def telling(make_running_hub: Any, digits: Any, collector: Collector) -> Iterator[Hub]:
    """The hub, one process of each kind, so that requests meet in a batch."""
    with running_telling(make_running_hub, digits, collector.url) as hub:
        yield hub
