"""The headers of W3C's Trace Context pass through the hub as one string, and no more of them than is due."""

import pytest

from mlhub.common import tracecontext

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("parent", "states", "headers"),
    [
        ("", [], {}),
        (PARENT, [], {"traceparent": PARENT}),
        (PARENT, ["", " "], {"traceparent": PARENT}),
        (PARENT, ["a=1, b=2", "c=3"], {"traceparent": PARENT, "tracestate": "a=1, b=2,c=3"}),
        ("", ["a=1"], {}),
        (f" {PARENT} ", [" a=1 2 "], {"traceparent": PARENT, "tracestate": "a=1 2"}),
    ],
)
def test_both_headers_come_out_as_they_went_in(
    parent: str, states: list[str], headers: dict[str, str]
) -> None:
    assert tracecontext.headers(tracecontext.written(parent, states)) == headers


def test_a_state_that_is_too_long_loses_long_members_first_and_then_the_last() -> None:
    long = "long=" + "x" * 124
    short = [f"k{number}={'y' * 60}" for number in range(10)]
    written = tracecontext.written(PARENT, [",".join([short[0], long, *short[1:]])])
    kept = tracecontext.headers(written)["tracestate"]
    assert kept == ",".join(short[:8])
    assert len(kept) <= 512


def test_what_is_as_long_as_it_may_be_is_kept_whole() -> None:
    state = ",".join([f"k{number}={'y' * 124}" for number in range(4)])[:512]
    assert len(state) == 511
    assert tracecontext.headers(tracecontext.written(PARENT, [state]))["tracestate"] == state
    assert tracecontext.headers(tracecontext.written(PARENT, ["z=" + "y" * 511])) == {"traceparent": PARENT}
