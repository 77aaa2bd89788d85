"""Log lines, readable or JSON, each with the id of the request it belongs to."""

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

import msgspec

from mlhub.common.errors import MLHubError

NOBODY: Final = "-"
"""In place of an id, where no request is worked for."""
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default=NOBODY)
"""Id of the request that this context works for; of several, all, as `joined` writes them."""

HEADER: Final = "X-Request-ID"
"""Name of the header with the id of a request; between parts of the hub also with several."""

_BETWEEN: Final = ","
"""No id has it."""
_LONGEST: Final = 512
"""Characters of ids that go along with a call: those of a dozen requests or more."""
_SANE: Final = re.compile(rf"[A-Za-z0-9._:,-]{{1,{_LONGEST}}}")

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


def joined(ids: Iterable[str]) -> str:
    """Write the ids of several requests as one."""
    return _BETWEEN.join(ids)


def apart(ids: str) -> list[str]:
    """Return the single ids again."""
    return ids.split(_BETWEEN)


def arrived(ids: str | None) -> str:
    """Return the ids that came along with a call; `NOBODY` for none, and for what is not fit for a line."""
    return ids if ids and _SANE.fullmatch(ids) else NOBODY


def portable(ids: str) -> str:
    """Return as many of joined ids, the first ones, as may go along with a call; nothing of `NOBODY`.

    What is made of a batch must not cost more, the more share it; whoever wants to know the rest finds them
    by the first ones in the log of the caller.
    """
    if ids == NOBODY:
        return ""
    return ids if len(ids) <= _LONGEST else ids[: max(0, ids.rfind(_BETWEEN, 0, _LONGEST + 1))]


def of(ids: Iterable[str]) -> dict[str, str]:
    """Return the `extra` of a line that is about other requests than those of its context."""
    return {"request_id": joined(ids) or NOBODY}


@contextmanager
def working_for(ids: Iterable[str]) -> Iterator[None]:
    """Have the lines of the block name some requests."""
    token = REQUEST_ID.set(joined(ids) or NOBODY)
    try:
        yield
    finally:
        REQUEST_ID.reset(token)


class RequestIdFilter(logging.Filter):
    """Puts the id of the current request on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, with its request id set."""
        if not hasattr(record, "request_id"):
            record.request_id = REQUEST_ID.get()
        return True


class BriefFilter(logging.Filter):
    """Has errors written in their brief form, without what a client sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, with `MLHubError`s among its arguments shortened."""
        if isinstance(record.args, tuple) and any(isinstance(item, MLHubError) for item in record.args):
            record.args = tuple(item.brief if isinstance(item, MLHubError) else item for item in record.args)
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", NOBODY),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def configure(log_format: str, level: str) -> None:
    """Send all log lines of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(_TEXT))
    handler.addFilter(RequestIdFilter())
    handler.addFilter(BriefFilter())
    # What libraries say to find faults of their own has documents, frames and addresses in it.
    quiet = max(logging.getLevelNamesMapping()[level], logging.INFO)
    logging.basicConfig(handlers=[handler], level=quiet, force=True)
    logging.getLogger("mlhub").setLevel(level)
