"""One turn in which the machine was slow decides nothing."""

import msgspec

from benchmarks.load import Load
from benchmarks.turns import Turns

_LOAD = Load(
    requests=100,
    seconds=1.0,
    bytes=1000,
    p50=1.0,
    p90=2.0,
    p99=4.0,
    longest=8.0,
    refused=0,
    broken=0,
    late=0,
)


def loads(*p99s: float) -> tuple[Load, ...]:
    return tuple(msgspec.structs.replace(_LOAD, p50=p99 / 4, p99=p99) for p99 in p99s)


def test_each_turn_is_compared_with_the_one_before_it_and_the_median_counts() -> None:
    turns = Turns(loads(4.0, 40.0, 4.0), loads(5.0, 44.0, 80.0))
    assert turns.ratios == [1.1, 1.25, 20.0]
    assert turns.ratio == 1.25
    assert turns.p99s == (4.0, 44.0)
    assert turns.p50s == (1.0, 11.0)
