"""What the hub says of its parts, also of those that say nothing."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mlhub.api.resources.health import ReadyResource
from mlhub.api.services import health
from mlhub.api.services.health import Health, HealthService, Part
from mlhub.common.batch import Probe
from mlhub.common.errors import UnavailableError

AWAY = "The message broker does not answer; try again in a moment."


class Gateway:
    """One whose model servers are as they are said to be."""

    product = "RabbitMQ 4"

    def __init__(self, *, reachable: bool = True) -> None:
        self.reachable = reachable

    async def probe(self, backend: str, wait: float) -> Probe:
        if not self.reachable:
            raise UnavailableError(AWAY)
        return Probe(healthy=backend != "ill", detail="" if backend != "ill" else "It is ill.")


def service(
    check_database: Callable[[], None] = lambda: None, *backends: str, reachable: bool = True
) -> HealthService:
    gateway: Any = Gateway(reachable=reachable)
    return HealthService(gateway, check_database, lambda: None, lambda: "8.0", backends)


def test_a_part_that_hangs_is_not_well_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_WAIT", 0.05)
    hanging, asked = threading.Event(), []

    def check() -> None:
        asked.append(1)
        assert hanging.wait(60)

    async def look() -> tuple[Health, Health, str | None, Health]:
        looking = service(check, "well")
        first, second = await looking.look(), await looking.look()
        versions = await looking.versions(second)
        assert len(asked) == 1
        hanging.set()
        monkeypatch.setattr(health, "_WAIT", 60.0)
        return first, second, versions.database, await looking.look()

    first, second, version, after = asyncio.run(look())
    assert first.database == second.database
    assert first.database == Part("database", healthy=False, detail="It did not answer within 0.05 seconds.")
    assert first.store.healthy
    assert version is None
    assert after.database.healthy


def test_a_part_that_fails_says_why() -> None:
    def check() -> None:
        raise UnavailableError("It is away.")

    seen = asyncio.run(service(check, "ill", "well").look())
    assert (seen.database.detail, seen.backends[0].detail) == ("It is away.", "It is ill.")
    # One working backend is enough.
    assert [part.name for part in seen.missing] == ["database"]


def test_what_is_missing_for_the_same_reason_is_named_together() -> None:
    resource = ReadyResource(service(lambda: None, "one", "two", reachable=False))
    request: Any = None
    with pytest.raises(UnavailableError) as raised:
        asyncio.run(resource.on_get(request, request))
    assert raised.value.detail == (
        f"The hub is not ready: broker: RabbitMQ does not answer, or takes no messages; one, two: {AWAY}"
    )
