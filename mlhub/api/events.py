"""Server-sent events of a prediction: its state now and after each change, until its end.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

import msgspec
from falcon.asgi import SSEvent

from mlhub.api.waiting import until
from mlhub.common import view
from mlhub.common.errors import NotFoundError, UnavailableError
from mlhub.common.prediction import Prediction

PING: Final = 5.0
"""Seconds after which a comment is sent when nothing changes: it keeps connections, and shows who left."""
_PAUSE: Final = 1.0
"""Seconds before the next look when the database does not answer."""


def mark(prediction: Prediction) -> str:
    """Return the id of the event that tells of a prediction as it is; another one after each change."""
    if prediction.bulk is None:
        return prediction.status
    return f"{prediction.status}-{prediction.bulk.done}"


def _differs(seen: str | None, prediction: Prediction) -> bool:
    return mark(prediction) != seen


async def events(
    look: Callable[[], Prediction], seen: str | None, ping: float = PING
) -> AsyncIterator[SSEvent]:
    """Yield what happens.

    Args:
        look: reads the prediction; called in a thread.
        seen: id of the last event that the client has, if it comes back.
        ping: seconds between comments.
    """
    while True:
        try:
            prediction = await until(look, partial(_differs, seen), ping)
        except UnavailableError:
            # The answer has begun, so there is no other way to tell; it goes on when the database is back.
            yield SSEvent(comment="the database does not answer")
            await asyncio.sleep(min(ping, _PAUSE))
            continue
        except NotFoundError:
            return
        if mark(prediction) == seen:
            yield SSEvent(comment="no change")
        else:
            seen = mark(prediction)
            data = msgspec.json.encode(view.prediction(prediction))
            yield SSEvent(data=data, event=prediction.status, event_id=seen)
        if view.ended(prediction):
            return
