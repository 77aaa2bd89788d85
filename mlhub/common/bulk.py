"""Bulk predictions: a file with many rows, worked off in chunks that are taken one after the other.

Nothing is written down of rows that nobody has begun: they are cut into units by arithmetic, and taken in
order. What a bulk knows of its work is small: where the next unit begins, which chunks are begun and not
done, and how many rows are done. Everything here is a pure change of that; `mlhub.storage.bulks` keeps it.

A *turn* is a message that lets a worker take one chunk, whichever is next. There are few of them for a bulk,
and each worker that is done sends the next one to the end of the queue, so that others have theirs in
between. A turn has a name of its own: when it comes a second time, its worker died, and its chunk is taken up
at once.
"""

import secrets
import struct
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from mlhub.common import npy
from mlhub.common.signature import Signature

UNIT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a unit, a row or a line more or less: small beside a worker's memory, large beside the calls."""
UNIT_ROWS: Final = 65_536
"""Rows of a unit of an array, where rows are tiny."""

_ENTRY: Final = struct.Struct("<QQ")
"""A unit of a text in the index: the byte at which it begins, and the rows before it."""


class BulkForm(StrEnum):
    """Forms of a file with rows."""

    NPY = "npy"
    """One array, rows first."""
    JSON_LINES = "ndjson"
    """A row as JSON on each line."""
    CSV = "csv"
    """The numbers of a row on each line."""


MEDIA_TYPES: Final[dict[str, BulkForm]] = {
    npy.TYPE: BulkForm.NPY,
    "application/x-ndjson": BulkForm.JSON_LINES,
    "application/ndjson": BulkForm.JSON_LINES,
    "application/jsonl": BulkForm.JSON_LINES,
    "application/x-jsonlines": BulkForm.JSON_LINES,
    "text/csv": BulkForm.CSV,
}
"""What clients call them; the first name of each is the hub's."""
TYPES: Final = {form: next(name for name, own in MEDIA_TYPES.items() if own is form) for form in BulkForm}
"""What the hub calls them."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows of a file are."""

    form: BulkForm
    rows: int
    """How many."""
    start: int
    """The byte at which the first one begins."""
    end: int
    """The byte after the last one."""
    array: npy.Header | None = None
    """Of an array, what its header says."""
    index: bytes = b""
    """Of a text, where its units begin."""
    delimiter: str = ","
    """What stands between the numbers of a line of CSV."""
    columns: tuple[str, ...] = ()
    """Names in the heading of a CSV, where they say which input a column is."""


class Span(msgspec.Struct, frozen=True):
    """Some rows that stand together."""

    first: int
    """Number of the first one, from 0."""
    rows: int
    offset: int
    """The byte of the file at which they begin."""
    size: int
    """Their bytes."""

    def after(self, rows: int, size: int) -> "Span | None":
        """Return what is left behind the first `rows` of them, which take `size` bytes."""
        if rows >= self.rows:
            return None
        return Span(self.first + rows, self.rows - rows, self.offset + size, self.size - size)


class Chunk(msgspec.Struct, frozen=True):
    """Rows that were begun and are not done."""

    span: Span
    turn: str
    """Who has it; nobody when it is empty."""
    until: datetime
    """When others may take it, UTC."""
    attempts: int = 0
    """How often it was begun."""


class BulkOutput(msgspec.Struct, frozen=True):
    """What comes out for each row."""

    name: str
    """Of the model's output."""
    datatype: str
    row: tuple[int, ...]
    """Shape for one row."""

    def __str__(self) -> str:
        return f"{self.datatype} of shape {list(self.row)}"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The output of some rows, in the bundle store: the elements of a tensor as they travel."""

    first: int
    """Number of its first row."""
    rows: int
    taken: int
    """Bytes of the input that these rows are."""
    output: BulkOutput
    key: str
    """Its name in the bundle store."""
    holder: str
    """Who holds it there."""
    size: int
    sha256: str
    width: int = 0
    """Characters of its longest text."""
    seconds: float = 0.0
    """What the model server took for it."""


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """The work of a bulk prediction."""

    id: str
    """Of its prediction, too."""
    model: str
    version: str
    backend: str
    deployment: str
    """Name under which the model server has the version."""
    signature: Signature
    """What the version takes."""
    outputs: tuple[str, ...]
    """Name of the output that was asked for; empty means the model's default."""
    layout: Layout
    key: str
    """Where the bundle store has the file."""
    holder: str
    """Who holds it there."""
    size: int
    """Bytes of the file."""
    slots: int
    """Chunks that may be in work at once."""
    created_at: datetime
    expires_at: datetime
    """When it goes with all its files, UTC."""
    following: int = 0
    """Number of the next unit that nobody has begun."""
    chunks: tuple[Chunk, ...] = ()
    """What is begun and not done."""
    done: int = 0
    """Rows whose output is there."""
    seconds: float = 0.0
    """What the model server took for them."""
    output: BulkOutput | None = None
    """What comes out, known from the first chunk on."""
    swept_at: datetime
    """When turns were last sent without one that came before, UTC."""
    closed: bool = False
    """Whether it has ended and what is not needed any more is gone."""
    revision: int = 1
    """Counts the changes."""
    request: str = "-"
    """Id of the request that ordered it."""
    trace: str = ""
    """That request's span; empty without traces."""

    @property
    def is_done(self) -> bool:
        """Whether all rows have their output."""
        return self.done == self.layout.rows

    def free_slots(self, time: datetime) -> int:
        """Return how many turns could begin something."""
        busy = sum(chunk.until > time for chunk in self.chunks)
        waiting = units(self.layout) - self.following + len(self.chunks) - busy
        return max(0, min(self.slots - busy, waiting))

    def take(self, turn: str, time: datetime, until: datetime) -> "tuple[Bulk, Chunk] | None":
        """Begin a chunk, or one again whose worker died; nothing when there is none for this turn.

        Args:
            turn: name of the turn.
            time: now, UTC.
            until: when the worker may be taken for dead.
        """
        own = next((chunk for chunk in self.chunks if chunk.turn == turn), None)
        chunk = own or next((chunk for chunk in self.chunks if chunk.until <= time), None)
        if chunk is None and self.free_slots(time) > 0:
            chunk = Chunk(unit(self.layout, self.following), turn, until, attempts=1)
            return msgspec.structs.replace(self._with(None, chunk), following=self.following + 1), chunk
        if chunk is None:
            return None
        again = msgspec.structs.replace(chunk, turn=turn, until=until, attempts=chunk.attempts + 1)
        return self._with(chunk, again), again

    def find(self, first: int) -> Chunk | None:
        """Return the chunk that begins with a row."""
        return next((chunk for chunk in self.chunks if chunk.span.first == first), None)

    def renew(self, turn: str, until: datetime) -> "Bulk | None":
        """Prolong a turn's time; nothing when it has no chunk any more."""
        own = next((chunk for chunk in self.chunks if chunk.turn == turn), None)
        return None if own is None else self._with(own, msgspec.structs.replace(own, until=until))

    def release(self, turn: str, until: datetime) -> "Bulk | None":
        """Give a turn's chunk back, to be taken again from a time on; nothing when it has none any more."""
        own = next((chunk for chunk in self.chunks if chunk.turn == turn), None)
        return None if own is None else self._with(own, msgspec.structs.replace(own, turn="", until=until))

    def finish(self, part: Part, time: datetime) -> "Bulk | None":
        """Note that a part is there; nothing when that is known already.

        What its worker left of the chunk waits for whoever comes next.
        """
        chunk = None if self.closed else self.find(part.first)
        if chunk is None:
            return None
        rest = chunk.span.after(part.rows, part.taken)
        left = None if rest is None else Chunk(rest, "", time)
        changed = self._with(chunk, left)
        return msgspec.structs.replace(
            changed,
            done=self.done + part.rows,
            seconds=self.seconds + part.seconds,
            output=self.output or part.output,
        )

    def close(self) -> "Bulk | None":
        """Note that there is nothing left to do; nothing when that is known."""
        if self.closed:
            return None
        return msgspec.structs.replace(self, closed=True, chunks=(), revision=self.revision + 1)

    def _with(self, old: Chunk | None, new: Chunk | None) -> "Bulk":
        kept = [chunk for chunk in self.chunks if chunk is not old]
        if new is not None:
            kept.append(new)
        kept.sort(key=lambda chunk: chunk.span.first)
        return msgspec.structs.replace(self, chunks=tuple(kept), revision=self.revision + 1)


def units(layout: Layout) -> int:
    """Return how many units the rows of a file make."""
    if layout.array is None:
        return len(layout.index) // _ENTRY.size
    return -(-layout.rows // _unit_rows(layout))


def unit(layout: Layout, number: int) -> Span:
    """Return the rows of a unit."""
    if layout.array is None:
        offset, first = read_entry(layout.index, number)
        last = number + 1 == units(layout)
        end, following = (layout.end, layout.rows) if last else read_entry(layout.index, number + 1)
        return Span(first, following - first, offset, end - offset)
    count = _unit_rows(layout)
    first = number * count
    rows = min(count, layout.rows - first)
    width = row_bytes(layout)
    return Span(first, rows, layout.start + first * width, rows * width)


def entry(offset: int, first: int) -> bytes:
    """Return what the index has of a unit of a text."""
    return _ENTRY.pack(offset, first)


def read_entry(index: bytes | bytearray, number: int) -> tuple[int, int]:
    """Return what the index has of a unit: the byte at which it begins, and the rows before it."""
    offset, first = _ENTRY.unpack_from(index, number * _ENTRY.size)
    return offset, first


def row_bytes(layout: Layout) -> int:
    """Return the bytes of each row of an array."""
    return (layout.end - layout.start) // layout.rows


def new_turn(identity: str) -> str:
    """Make a turn of a bulk: what its message carries."""
    return f"{identity}.{secrets.token_hex(6)}"


def read_turn(text: str) -> tuple[str, str]:
    """Return the id of the bulk, and the turn's name."""
    return text.partition(".")[0], text


def _unit_rows(layout: Layout) -> int:
    return min(UNIT_ROWS, max(1, UNIT_BYTES // row_bytes(layout)))
