"""Clocks of several machines, which have to agree."""

from typing import Final

from mlhub.doctor.finding import Finding, bad, good, warning

_SKEW: Final = 2.0
"""Seconds by which clocks may differ."""
_WORST: Final = 10.0
"""Seconds from which leases and reports of others seem to be over, or never to end."""


def compare(whose: str, skew: float) -> Finding:
    """Judge by how many seconds, at least, the clock of something differs from this machine's."""
    if skew <= _SKEW:
        return good("clocks", f"{whose}'s and this machine's agree.")
    finding = bad if skew > _WORST else warning
    return finding(
        "clocks",
        f"{whose}'s clock and this machine's differ by {skew:.1f} seconds.",
        "Have all machines set their clocks by NTP.",
    )
