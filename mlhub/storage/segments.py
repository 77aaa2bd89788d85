"""The segments of the search index in the database: written whole, read block by block, removed whole.

A document of `segments` says that a segment is there; its blocks are documents of `segment_parts`, read by
key. A segment is live only when all its parts are written, and its parts go only when it is live no more.
So a process that dies leaves at most parts that no search reads, which `sweep` removes.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec
import numpy as np
from pymongo.database import Database

from mlhub.storage.database import Document, now
from mlhub.storage.keys import Keys
from mlhub.storage.segment import Block, Head, Segment, segment_of

_ABANDONED: Final = timedelta(minutes=10)
"""After this time, a segment that is not live is nobody's."""
_AT_ONCE: Final = 1 << 20
"""Bytes written in one call."""
_HEAD: Final = ("names", "recencies", "order")
"""Parts that a search holds in memory."""
_BLOCK: Final = msgspec.msgpack.Decoder(Block)


class GoneError(Exception):
    """A part of a segment is not there: the segment was removed meanwhile."""


class Live(msgspec.Struct, frozen=True):
    """A segment that searches look into."""

    key: str
    size: int
    """How many entries it has."""
    blocks: int
    """How many blocks its terms are in."""


class _Order(msgspec.Struct, array_like=True):
    by_recency: bytes
    firsts: list[str]


class SegmentStore:
    """Segments of the search index over the entries."""

    def __init__(self, database: Database[Document]) -> None:
        self._segments = database["segments"]
        self._parts = database["segment_parts"]
        self._known: tuple[Live, ...] = ()
        self._heads: dict[str, Head] = {}

    @property
    def known(self) -> tuple[Live, ...]:
        """The live segments as they were when somebody last looked."""
        return self._known

    def live(self) -> tuple[Live, ...]:
        """Look which segments are live."""
        found = tuple(
            Live(document["_id"], document["size"], document["blocks"])
            for document in self._segments.find()
            if document["live"]
        )
        if found != self._known:
            keys = {segment.key for segment in found}
            self._heads = {key: head for key, head in self._heads.items() if key in keys}
            self._known = found
        return found

    def head(self, key: str) -> Head:
        """Return what a search holds of a segment.

        Raises:
            GoneError: it was removed.
        """
        held = self._heads.get(key)
        if held is None:
            parts = self._read([f"{key}/{part}" for part in _HEAD])
            names, recencies, rest = (parts[f"{key}/{part}"] for part in _HEAD)
            order = msgspec.msgpack.decode(rest, type=_Order)
            by_recency = np.frombuffer(order.by_recency, np.uint16)
            held = Head(Keys.decode(names), Keys.decode(recencies), by_recency, order.firsts)
            self._heads[key] = held
        return held

    def blocks(self, wanted: Iterable[tuple[str, int]]) -> Mapping[tuple[str, int], Block]:
        """Return blocks, by segment and number.

        Raises:
            GoneError: a segment was removed.
        """
        keys = {f"{segment}/{number}": (segment, number) for segment, number in wanted}
        return {keys[key]: _BLOCK.decode(part) for key, part in self._read(list(keys)).items()}

    def whole(self, segment: Live) -> Segment:
        """Return all of a segment.

        Raises:
            GoneError: it was removed.
        """
        blocks = self.blocks((segment.key, number) for number in range(segment.blocks))
        return segment_of(
            self.head(segment.key), [blocks[segment.key, number] for number in range(segment.blocks)]
        )

    def add(self, segment: Segment) -> None:
        """Keep a segment; it is live when this returns."""
        blocks = segment.blocks()
        head = segment.head(blocks)
        order = _Order(head.by_recency.tobytes(), head.firsts)
        parts = {
            "names": head.names.encode(),
            "recencies": head.recencies.encode(),
            "order": msgspec.msgpack.encode(order),
        }
        parts |= {str(number): msgspec.msgpack.encode(block) for number, block in enumerate(blocks)}
        key = secrets.token_hex(8)
        size = len(segment.names)
        self._segments.insert_one(
            {"_id": key, "live": False, "since": now(), "size": size, "blocks": len(blocks)}
        )
        waiting: list[Document] = []
        weight = 0
        for part, data in parts.items():
            waiting.append({"_id": f"{key}/{part}", "data": data})
            weight += len(data)
            if weight >= _AT_ONCE:
                self._parts.insert_many(waiting, ordered=False)
                waiting, weight = [], 0
        if waiting:
            self._parts.insert_many(waiting, ordered=False)
        self._segments.update_one({"_id": key}, {"$set": {"live": True}})

    def remove(self, segments: Iterable[Live]) -> None:
        """Remove segments, whose entries are elsewhere."""
        for segment in segments:
            self._segments.update_one({"_id": segment.key}, {"$set": {"live": False}})
            self._clear(segment.key, segment.blocks)

    def sweep(self) -> None:
        """Remove what processes that died had begun to write or to remove."""
        oldest = now() - _ABANDONED
        for document in self._segments.find({"live": False}):
            if document["since"] < oldest:
                self._clear(document["_id"], document["blocks"])

    def _clear(self, key: str, blocks: int) -> None:
        parts = [f"{key}/{part}" for part in (*_HEAD, *range(blocks))]
        self._parts.delete_many({"_id": {"$in": parts}})
        self._segments.delete_one({"_id": key})

    def _read(self, keys: Sequence[str]) -> dict[str, bytes]:
        found = {
            document["_id"]: document["data"] for document in self._parts.find({"_id": {"$in": list(keys)}})
        }
        if len(found) < len(keys):
            raise GoneError
        return found
