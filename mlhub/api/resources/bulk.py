"""Bulk predictions: files with many rows on their way in, and their outputs on the way out."""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Final

import falcon.asgi

from mlhub.api.bodies import chunks
from mlhub.api.digests import Digests, mismatch
from mlhub.api.gateway.gateway import Gateway
from mlhub.api.intake import Coding, Intake, Packing
from mlhub.api.preferences import Preferences
from mlhub.api.ranges import ByteRange, range_of
from mlhub.api.resources.downloads import pieces
from mlhub.api.responses import has_tag
from mlhub.api.services.bulks import BulkOrder, BulkService
from mlhub.common import bulkoutput, topology
from mlhub.common.bulk import MEDIA_TYPES, TYPES, Bulk, BulkForm, Part, new_turn
from mlhub.common.errors import RangeError, UnsupportedMediaError
from mlhub.common.prediction import Prediction
from mlhub.common.settings import Settings

_EXTENSIONS: Final = {BulkForm.NPY: "npy", BulkForm.JSON_LINES: "ndjson", BulkForm.CSV: "csv"}


class BulkAcceptance:
    """Takes files in."""

    def __init__(self, bulks: BulkService, gateway: Gateway, settings: Settings) -> None:
        self._bulks = bulks
        self._gateway = gateway
        self._max_bytes = settings.max_bundle_bytes
        self._largest = settings.max_prediction_bytes

    def form(self, req: falcon.asgi.Request, prefer: Preferences) -> BulkForm | None:
        """Return the form of the file that a request brings; nothing when it is a prediction like others.

        Raises:
            UnsupportedMediaError: it brings one and wants to wait for its output.
        """
        kind = (req.content_type or "").partition(";")[0].strip().lower()
        form = MEDIA_TYPES.get(kind)
        if form is None:
            return None
        if form is not BulkForm.NPY:
            if not prefer.respond_async:
                raise UnsupportedMediaError(
                    f"Rows as {kind} are answered later: send them with 'Prefer: respond-async', or as JSON."
                )
            return form
        length = req.content_length
        is_small = length is not None and length <= self._largest and req.get_param("bulk") != "true"
        return form if prefer.respond_async and not is_small else None

    async def accept(self, req: falcon.asgi.Request, order: BulkOrder) -> Prediction:
        """Keep the file that the request brings, have its rows predicted, and return what is kept.

        Raises:
            MLHubError: it cannot be, and nothing is kept.
        """
        digests = Digests(req.get_header)
        intake = await asyncio.to_thread(self._bulks.begin, order)
        try:
            await Intake(intake, digests, self._packing(req)).take(chunks(req, self._max_bytes))
            if not digests.match():
                raise mismatch()
            prediction, bulk = await asyncio.to_thread(self._bulks.accept, intake)
        finally:
            await asyncio.to_thread(intake.abort)
        if bulk is not None:
            await self._announce(bulk)
        return prediction

    async def _announce(self, bulk: Bulk) -> None:
        turns = [new_turn(bulk.id) for _ in range(bulk.free_slots(bulk.created_at))]
        tell = partial(self._gateway.publish_job, topology.JOB_BULK, backend=bulk.backend)
        await asyncio.gather(*(tell(turn) for turn in turns))

    def _packing(self, req: falcon.asgi.Request) -> Coding | None:
        given = (req.get_header("Content-Encoding") or "identity").strip().lower()
        if given == "identity":
            return None
        if given in {"gzip", "x-gzip"}:
            return Packing(self._max_bytes)
        raise UnsupportedMediaError(f"A file is sent as it is or with gzip, not with {given[:40]!r}.")


class BulkOutputResource:
    """`/predictions/{id}/output`: the outputs of all rows as one file."""

    def __init__(self, bulks: BulkService) -> None:
        self._bulks = bulks

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, identity: str) -> None:
        """Send it, or a range of an npy file, in the form that `Accept` names or that the input had."""
        bulk, parts = await asyncio.to_thread(self._bulks.output, identity)
        form = _wanted(req, bulk)
        file = OutputFile(form, bulk, parts)
        resp.set_header("ETag", f'"{file.tag}"')
        resp.set_header("Vary", "Accept")
        if has_tag(req.get_header("If-None-Match"), file.tag):
            resp.status = 304
            return
        resp.content_type = TYPES[form]
        resp.set_header("Content-Disposition", f'attachment; filename="{identity}.{_EXTENSIONS[form]}"')
        if file.size is None:
            # Text is made while it is sent.
            resp.set_header("Accept-Ranges", "none")
            resp.stream = pieces(OutputStream(file, self._bulks, None))
            return
        resp.set_header("Accept-Ranges", "bytes")
        try:
            wanted = range_of(req, file.tag, file.size)
        except RangeError:
            resp.set_header("Content-Range", f"bytes */{file.size}")
            raise
        if wanted is not None:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {wanted.first}-{wanted.last}/{file.size}")
        resp.content_length = file.size if wanted is None else wanted.length
        resp.stream = pieces(OutputStream(file, self._bulks, wanted))


class OutputFile:
    """How the parts of an output make one file."""

    def __init__(self, form: BulkForm, bulk: Bulk, parts: Sequence[Part]) -> None:
        self.form = form
        self.parts = parts
        self.width = max((part.width for part in parts), default=0)
        """Characters of the longest text."""
        self.head = bulkoutput.head(form, parts[0].output, bulk.layout.rows, self.width)
        names = [form, *(part.sha256 for part in parts)]
        self.tag = hashlib.blake2b("".join(names).encode(), digest_size=24).hexdigest()
        """Its entity tag."""
        sizes = [bulkoutput.size(form, part, self.width) for part in parts]
        self.sizes = [size for size in sizes if size is not None]
        """Bytes of each part, where that is known before it is written."""
        self.size = len(self.head) + sum(self.sizes) if len(self.sizes) == len(parts) else None
        """Bytes."""


class OutputStream:
    """An output that is read part by part."""

    def __init__(self, file: OutputFile, bulks: BulkService, wanted: ByteRange | None) -> None:
        self._file = file
        self._bulks = bulks
        self._skip = 0 if wanted is None else wanted.first
        self._left = wanted.length if wanted is not None else file.size
        self._next = -1
        """Number of the part that comes next; the head is before the first."""

    def read(self) -> bytes:
        """Return the next piece; none after the last.

        Raises:
            UnavailableError: the store does not answer, or has something else than was written.
        """
        file = self._file
        while self._next < len(file.parts) and self._left != 0:
            number, self._next = self._next, self._next + 1
            if number >= 0 and file.size is not None and file.sizes[number] <= self._skip:
                self._skip -= file.sizes[number]
                continue
            content = file.head if number < 0 else self._render(file.parts[number])
            piece = content[self._skip :]
            self._skip = max(0, self._skip - len(content))
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            if piece:
                return piece
        return b""

    def close(self) -> None:
        """Nothing stays open."""

    def _render(self, part: Part) -> bytes:
        return bulkoutput.body(self._file.form, part, self._file.width, self._bulks.read(part))


def _wanted(req: falcon.asgi.Request, bulk: Bulk) -> BulkForm:
    """Return the form that a client takes, best the one that the input had.

    Raises:
        HTTPNotAcceptable: it takes none.
    """
    own = TYPES[bulk.layout.form]
    accepted = req.client_prefers([own, *(name for name in MEDIA_TYPES if name != own)])
    if accepted is None:
        raise falcon.HTTPNotAcceptable(description=f"An output comes as {', '.join(TYPES.values())}.")
    return MEDIA_TYPES[accepted]
