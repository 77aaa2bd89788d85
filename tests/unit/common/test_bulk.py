"""The work of a bulk prediction: every row is done once, whatever becomes of the workers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common import npy
from mlhub.common.bulk import Bulk, BulkForm, BulkOutput, Chunk, Layout, Part, Span, unit, units
from mlhub.common.signature import Signature, TensorSpec

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)
OUTPUT = BulkOutput("y", "INT64", ())


def layout(rows: int, width: int) -> Layout:
    header = npy.Header("|u1", fortran=False, shape=(rows, width), start=128)
    return Layout(form=BulkForm.NPY, rows=rows, start=128, end=128 + rows * width, array=header)


def bulk(rows: int = 10, width: int = 2 * 1024 * 1024, slots: int = 4) -> Bulk:
    """A bulk whose units have two rows each."""
    return Bulk(
        id="b",
        model="m",
        version="1",
        backend="s",
        deployment="d",
        signature=Signature((TensorSpec("x", "FP64", (-1, 2)),)),
        outputs=(),
        layout=layout(rows, width),
        key="k",
        holder="h",
        size=1,
        slots=slots,
        created_at=START,
        expires_at=START,
        swept_at=START,
    )


def taken(work: Bulk, turn: str, time: datetime = START) -> tuple[Bulk, Chunk]:
    found = work.take(turn, time, time + LEASE)
    assert found is not None
    return found


def part(span: Span, rows: int | None = None) -> Part:
    done = span.rows if rows is None else rows
    taken = span.size // span.rows * done
    return Part(
        first=span.first, rows=done, taken=taken, output=OUTPUT, key="k", holder="h", size=8, sha256=""
    )


@pytest.mark.parametrize(
    ("rows", "width"), [(1, 1), (70_000, 1), (10, 3_000_000), (5, 9_000_000), (65_536, 64)]
)
def test_the_units_of_an_array_are_all_of_its_rows_and_no_more(rows: int, width: int) -> None:
    place = layout(rows, width)
    spans = [unit(place, number) for number in range(units(place))]
    assert sum(span.rows for span in spans) == rows
    following, offset = 0, place.start
    for span in spans:
        assert (span.first, span.offset, span.size) == (following, offset, span.rows * width)
        following, offset = following + span.rows, offset + span.size


def test_no_more_chunks_are_at_work_than_there_are_slots() -> None:
    work = bulk(slots=2)
    work, first = taken(work, "1")
    work, second = taken(work, "2")
    assert (first.span.first, second.span.first) == (0, 2)
    assert work.take("3", START, START + LEASE) is None
    assert work.free_slots(START) == 0


def test_a_turn_that_comes_again_takes_up_its_chunk_at_once() -> None:
    work, first = taken(bulk(), "1")
    work, again = taken(work, "1")
    assert again.span == first.span
    assert again.attempts == 2
    assert len(work.chunks) == 1


def test_a_chunk_whose_time_is_over_is_taken_before_new_ones() -> None:
    work, first = taken(bulk(), "1")
    work, other = taken(work, "2", START + LEASE)
    assert other.span == first.span
    assert work.renew("1", START + 2 * LEASE) is None


def test_a_chunk_that_was_given_back_waits_for_its_pause() -> None:
    work, first = taken(bulk(rows=2), "1")
    released = work.release("1", START + timedelta(seconds=2))
    assert released is not None
    assert released.take("2", START, START + LEASE) is None
    assert taken(released, "2", START + timedelta(seconds=2))[1].span == first.span


def test_what_a_worker_leaves_of_a_chunk_is_taken_next() -> None:
    work, first = taken(bulk(), "1")
    after = work.finish(part(first.span, rows=1), START)
    assert after is not None
    assert after.done == 1
    _, rest = taken(after, "2")
    assert rest.span == Span(1, 1, first.span.offset + first.span.size // 2, first.span.size // 2)
    assert rest.attempts == 1


def test_a_part_counts_once() -> None:
    work, first = taken(bulk(), "1")
    after = work.finish(part(first.span), START)
    assert after is not None
    assert after.finish(part(first.span), START) is None


def test_nothing_is_taken_of_a_bulk_that_is_closed() -> None:
    work, first = taken(bulk(), "1")
    closed = work.close()
    assert closed is not None
    assert closed.finish(part(first.span), START) is None
    assert closed.close() is None


@given(st.data())
def test_every_row_is_done_once_whatever_happens_to_workers(data: Any) -> None:
    work = bulk(rows=data.draw(st.integers(1, 12)), slots=data.draw(st.integers(1, 3)))
    parts: dict[int, Part] = {}
    time = START
    begun: list[Chunk] = []
    for turn in range(200):
        if work.is_done:
            break
        time += timedelta(seconds=data.draw(st.sampled_from([0, 1, 31])))
        found = work.take(str(turn), time, time + LEASE)
        if found is not None:
            work, chunk = found
            begun.append(chunk)
        if begun:
            # Any of those who began it may end, also one whose chunk another one took over.
            chunk = begun.pop(data.draw(st.integers(0, len(begun) - 1)))
            if data.draw(st.integers(0, 3)):
                made = part(chunk.span, data.draw(st.integers(1, chunk.span.rows)))
                kept = parts.setdefault(chunk.span.first, made)
                work = work.finish(kept, time) or work
    while not work.is_done:
        time += LEASE
        work, chunk = taken(work, f"last {time}", time)
        work = work.finish(parts.setdefault(chunk.span.first, part(chunk.span)), time) or work
    following = 0
    for first in sorted(parts):
        assert first == following
        following += parts[first].rows
    assert following == work.layout.rows
