"""Sizes and times as people write them."""

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024
_PERIODS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))
"""Seconds and their names, longest first."""
_LONG_AGO: Final = 60 * 86_400
"""Seconds after which a date says more than a number of days."""


def size(count: int) -> str:
    """Write a number of bytes: `1.5 MiB`."""
    if count < _STEP:
        return f"{count} B"
    value, unit = count / _STEP, _UNITS[0]
    for larger in _UNITS[1:]:
        if round(value, 1) < _STEP:
            break
        value, unit = value / _STEP, larger
    return f"{value:.1f} {unit}"


def ago(time: datetime | None, now: datetime | None = None) -> str:
    """Write how long ago something was: `3 min ago`; long ago, its date."""
    if time is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - time).total_seconds()
    if seconds >= _LONG_AGO:
        return time.strftime("%Y-%m-%d")
    return "just now" if seconds < _PERIODS[-1][0] else f"{duration(seconds)} ago"


def duration(seconds: float) -> str:
    """Write a length of time in its largest unit: `3 min`, `40 ms`."""
    for length, name in _PERIODS:
        if seconds >= length:
            return f"{int(seconds // length)} {name}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
