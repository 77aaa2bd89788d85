"""However a broker's bytes are cut on the way, the same frames come out."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common.frames import Frame, FrameSplitter

FRAMES = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(0, 65535), st.binary(max_size=300)), max_size=12
)


def wire(frames: list[Frame]) -> bytes:
    return b"".join(
        struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"
        for kind, channel, payload in frames
    )


@given(FRAMES, st.lists(st.integers(1, 64), min_size=1, max_size=20))
def test_frames_come_out_as_they_went_in(frames: list[Frame], cuts: list[int]) -> None:
    data, splitter, found, index = wire(frames), FrameSplitter(), [], 0
    while data:
        size = cuts[index % len(cuts)]
        splitter.feed(data[:size])
        data, index = data[size:], index + 1
        found += list(splitter)
    assert found == frames
    assert splitter.next() is None


@given(FRAMES)
def test_whoever_feeds_what_is_missing_has_no_byte_of_the_next_frame(frames: list[Frame]) -> None:
    data, splitter, found = wire(frames), FrameSplitter(), []
    while len(found) < len(frames):
        piece, data = data[: splitter.missing], data[splitter.missing :]
        splitter.feed(piece)
        frame = splitter.next()
        if frame is not None:
            found.append(frame)
            assert splitter.missing == 7, "nothing is left"
    assert (found, data) == (frames, b"")


def test_what_is_no_frame_is_refused() -> None:
    splitter = FrameSplitter()
    splitter.feed(struct.pack(">BHI", 1, 1, 4) + b"1234" + b"!")
    with pytest.raises(ConnectionError):
        splitter.next()
