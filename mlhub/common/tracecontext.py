"""Where in which trace something is done, as W3C's Trace Context has it, in one string.

It is the header `traceparent`, and after a space `tracestate`, which callers want passed on untouched, where
there is one. Source: https://www.w3.org/TR/trace-context/.
"""

from collections.abc import Sequence
from typing import Final

PARENT: Final = "traceparent"
"""Name of the header that says which span."""
STATE: Final = "tracestate"
"""Name of the header with what tracing systems on the way have to say of it."""

_BETWEEN: Final = " "
"""Neither ends with it."""
_LONGEST: Final = 512
"""Characters of `tracestate` that are passed on; the least that the standard wants to be."""
_LONG: Final = 128
"""Characters of a member that is left out before others, where it is too long as a whole."""


def written(parent: str, states: Sequence[str] = ()) -> str:
    """Write the headers of a request as one string.

    Args:
        parent: the value of `traceparent`; without one, nothing of the rest counts.
        states: the values of `tracestate`, of each header by that name.
    """
    parent = parent.strip()
    state = _fitting(",".join(filter(None, map(str.strip, states)))) if parent and states else ""
    return f"{parent}{_BETWEEN}{state}" if state else parent


def headers(context: str) -> dict[str, str]:
    """Return the headers of a request again; none of nothing."""
    parent, _, state = context.partition(_BETWEEN)
    if not parent:
        return {}
    return {PARENT: parent, STATE: state} if state else {PARENT: parent}


def _fitting(state: str) -> str:
    """Leave out members of what is too long: long ones first, then the last ones, as the standard says."""
    if len(state) <= _LONGEST:
        return state
    members = [member for member in state.split(",") if len(member) <= _LONG]
    size = -1
    for place, member in enumerate(members):
        size += 1 + len(member)
        if size > _LONGEST:
            return ",".join(members[:place])
    return ",".join(members)
