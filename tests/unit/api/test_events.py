"""Events of a prediction: each change once, whatever happens to the database or the connection meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mlhub.api.events import events
from mlhub.common.errors import MLHubError, NotFoundError, UnavailableError
from mlhub.common.prediction import BulkProgress, Prediction, PredictionStatus
from mlhub.storage.database import now

STARTING, PROCESSING, SUCCEEDED = (
    PredictionStatus.STARTING,
    PredictionStatus.PROCESSING,
    PredictionStatus.SUCCEEDED,
)


def prediction(status: PredictionStatus) -> Prediction:
    return Prediction(
        id="p",
        model="m",
        version="1",
        backend="b",
        deployment="d",
        inputs=(),
        created_at=now(),
        status=status,
    )


def looks(*seen: PredictionStatus | MLHubError) -> Callable[[], Prediction]:
    """Return a look that finds these one after the other."""
    left = list(seen)

    def look() -> Prediction:
        found = left.pop(0)
        if isinstance(found, MLHubError):
            raise found
        return prediction(found)

    return look


def collect(look: Callable[[], Prediction], seen: str | None = None) -> list[Any]:
    async def run() -> list[Any]:
        return [event async for event in events(look, seen, ping=0.0)]

    return asyncio.run(run())


def test_each_change_is_told_once_until_the_end() -> None:
    found = collect(looks(STARTING, STARTING, PROCESSING, SUCCEEDED))
    assert [event.event for event in found] == ["starting", None, "processing", "succeeded"]
    assert [event.comment for event in found] == [None, "no change", None, None]
    told = [event for event in found if event.event]
    assert [msgspec.json.decode(event.data)["status"] for event in told] == [event.event for event in told]
    assert len({event.event_id for event in told}) == 3


@pytest.mark.parametrize("seen", ["starting", "processing"])
def test_who_comes_back_gets_what_is_new(seen: str) -> None:
    found = collect(looks(PROCESSING, SUCCEEDED), seen)
    told = [event.event for event in found if event.event]
    assert told == (["succeeded"] if seen == "processing" else ["processing", "succeeded"])


def test_progress_of_many_rows_is_told() -> None:
    done = [0, 10, 10, 20]

    def look() -> Prediction:
        progress = BulkProgress(done=done.pop(0), total=20)
        status = PROCESSING if done else SUCCEEDED
        return msgspec.structs.replace(prediction(status), bulk=progress)

    told = [event for event in collect(look) if event.event]
    assert [event.event_id for event in told] == ["processing-0", "processing-10", "succeeded-20"]


def test_without_a_database_the_stream_goes_on_when_it_is_back() -> None:
    away = UnavailableError("away")
    found = collect(looks(STARTING, away, away, SUCCEEDED))
    assert [event.event for event in found] == ["starting", None, None, "succeeded"]


def test_a_prediction_that_is_kept_no_longer_ends_it() -> None:
    found = collect(looks(STARTING, NotFoundError("gone")))
    assert [event.event for event in found] == ["starting"]
