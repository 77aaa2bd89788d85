"""Bulk predictions on a real database and store: each row's output is kept once, and no file outlives them."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mlhub.common import npy, tensor
from mlhub.common.bulk import Bulk, BulkForm, BulkOutput, Chunk, Layout, Part, new_turn, read_turn
from mlhub.common.errors import BackendError, BackendTimeoutError, BackendUnreachableError
from mlhub.common.prediction import BulkProgress, Prediction, PredictionStatus
from mlhub.common.signature import Signature, TensorSpec
from mlhub.common.tensor import Tensor
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bulkshelf import BulkShelf
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect, now
from mlhub.storage.directory import DirectoryBundleStore
from mlhub.storage.predictions import NEVER, PredictionStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.versions import VersionStore
from mlhub.workers.attempts import AttemptPolicy
from mlhub.workers.bulk import BulkJob
from mlhub.workers.bulksweeper import BulkSweeper
from mlhub.workers.courtesy import Courtesy

DAY = timedelta(days=1)
LEASE = timedelta(seconds=30)
ROWS = np.arange(600_000, dtype="f4").reshape(300_000, 2)
"""A file of several chunks."""


class Server:
    """A model server of the tests: gives the sum of each row, or what it is told to raise."""

    def __init__(self) -> None:
        self.errors: list[BackendError] = []
        self.calls: list[int] = []
        self.width = 1

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        if self.errors:
            raise self.errors.pop(0)
        array = tensor.decode(inputs[0])
        self.calls.append(len(array))
        summed = array.sum(axis=1)
        return (tensor.encode("y", np.tile(summed[:, None], self.width) if self.width > 1 else summed),)


class Place(msgspec.Struct, frozen=True):
    """All that bulk predictions need."""

    predictions: PredictionStore
    bulks: BulkStore
    shelf: BulkShelf
    store: DirectoryBundleStore
    copies: CopyStore
    server: Server
    sent: list[str]
    job: BulkJob

    def keep(self, array: Any = ROWS, *, keep: timedelta = DAY, name: str = "0123abcd") -> Bulk:
        """Keep a file of rows as the API does."""
        content = npy.encode(np.asarray(array))
        header = npy.read_header(content[: npy.HEAD])
        writer = self.shelf.create()
        writer.write(content)
        created = now()
        held = self.shelf.keep(writer, created + keep)
        bulk = Bulk(
            id=name,
            model="m",
            version="1",
            backend="b",
            deployment="d",
            signature=Signature((TensorSpec("x", "FP64", (-1, 2)),)),
            outputs=(),
            layout=Layout(
                form=BulkForm.NPY, rows=len(array), start=header.start, end=len(content), array=header
            ),
            key=held.key,
            holder=held.holder,
            size=len(content),
            slots=2,
            created_at=created,
            expires_at=created + keep,
            swept_at=created - DAY,
        )
        self.bulks.add(bulk)
        self.predictions.add(
            Prediction(
                id=name,
                model="m",
                version="1",
                backend="b",
                deployment="d",
                inputs=(),
                created_at=created,
                lease_until=NEVER,
                published_at=NEVER,
                bulk=BulkProgress(len(array)),
            )
        )
        return bulk

    def files(self) -> list[str]:
        return [key for key, _ in self.store.listing()]

    def work(self, turn: str) -> None:
        """Take a turn, and all that it sends after it."""
        self.job.run(turn)
        while self.sent:
            self.job.run(self.sent.pop(0))

    def output(self, name: str = "0123abcd") -> Any:
        parts = [self.shelf.read(part.key, part.sha256) for part in self.bulks.parts(name)]
        return np.frombuffer(b"".join(parts), "f8")


@pytest.fixture
def place(database: Any, tmp_path: Path) -> Iterator[Place]:
    db = connect(database.url, database.name, patience=60_000, answer=120_000)
    predictions, bulks, copies, versions = (
        PredictionStore(db, DAY),
        BulkStore(db),
        CopyStore(db),
        VersionStore(db),
    )
    for one in (predictions, bulks, copies, versions):
        one.create_indexes()
    store = DirectoryBundleStore(tmp_path / "bundles")
    shelf = BulkShelf(bulks, BundleShelf(store, copies, versions), store)
    server, sent = Server(), list[str]()
    policy = AttemptPolicy(2, LEASE)
    # It pauses for nobody, whatever else this machine does.
    courtesy = Courtesy(lambda: None)
    job = BulkJob(bulks, shelf, predictions, server, policy, lambda turn, _: sent.append(turn), courtesy)  # type: ignore[arg-type]
    yield Place(predictions, bulks, shelf, store, copies, server, sent, job)
    db.client.close()


def test_all_rows_are_worked_off_from_one_turn(place: Place) -> None:
    bulk = place.keep()
    place.work(new_turn(bulk.id))
    shown = place.predictions.get(bulk.id)
    assert (shown.status, shown.bulk) == (PredictionStatus.SUCCEEDED, BulkProgress(300_000, 300_000))
    assert np.array_equal(place.output(), ROWS.astype("f8").sum(axis=1))
    assert bulk.key not in place.files(), "the input is of no more use"
    assert len(place.files()) == len(place.bulks.parts(bulk.id)) > 1
    assert max(place.server.calls) > min(place.server.calls)


def test_a_turn_that_comes_again_takes_up_the_chunk_of_the_worker_that_died(place: Place) -> None:
    bulk = place.keep()
    turn = new_turn(bulk.id)
    identity, name = read_turn(turn)
    taken = place.bulks.take(identity, name, LEASE)
    assert taken is not None
    place.work(turn)
    assert np.array_equal(place.output(), ROWS.astype("f8").sum(axis=1))


def test_of_two_workers_that_did_the_same_rows_one_s_part_is_kept(place: Place) -> None:
    bulk = place.keep()
    turn = new_turn(bulk.id)
    taken = place.bulks.take(*read_turn(turn), LEASE)
    assert taken is not None

    def part(chunk: Chunk, rows: int) -> Part:
        writer = place.shelf.create()
        writer.write(bytes(8 * rows))
        held = place.shelf.keep(writer, bulk.expires_at)
        return Part(
            first=chunk.span.first,
            rows=rows,
            taken=8 * rows,
            output=BulkOutput("y", "FP64", ()),
            key=held.key,
            holder=held.holder,
            size=held.stored.size,
            sha256=held.stored.sha256,
        )

    first, second = part(taken[1], 10), part(taken[1], taken[1].span.rows)
    after, kept = place.bulks.finish(bulk.id, first)
    assert (kept, after is not None and after.done) == (first, 10)
    after, kept = place.bulks.finish(bulk.id, second)
    assert (kept, after is not None and after.done) == (first, 10)


def test_a_chunk_that_failed_is_retried_alone_and_its_reason_is_told(place: Place) -> None:
    bulk = place.keep(name="0a")
    place.server.errors = [BackendUnreachableError("The server is away."), BackendError("It hurts.")]
    place.work(new_turn(bulk.id))
    assert place.bulks.get(bulk.id).chunks[0].turn == "", "given back"
    place.work(new_turn(bulk.id))
    shown = place.predictions.get(bulk.id)
    assert shown.status is PredictionStatus.FAILED
    assert shown.error is not None
    assert shown.error.startswith("Rows 65537 to ")
    assert shown.error.endswith("failed: It hurts.")
    assert place.files() == []


def test_a_chunk_is_not_tried_for_ever(place: Place) -> None:
    bulk = place.keep(ROWS[:10])
    turn = new_turn(bulk.id)
    for _ in range(2):
        assert place.bulks.take(*read_turn(turn), LEASE) is not None
    place.work(turn)
    shown = place.predictions.get(bulk.id)
    assert shown.status is PredictionStatus.FAILED
    assert shown.error is not None
    assert "workers died" in shown.error


def test_outputs_that_differ_in_shape_are_no_file(place: Place) -> None:
    bulk = place.keep()
    place.job.run(new_turn(bulk.id))
    place.server.width = 3
    place.work(place.sent.pop(0))
    shown = place.predictions.get(bulk.id)
    assert shown.status is PredictionStatus.FAILED
    assert shown.error is not None
    assert "Their output is FP64 of shape [3], that of other rows FP64 of shape []" in shown.error
    assert place.files() == []


def test_what_is_cancelled_goes_no_further_and_leaves_no_file(place: Place) -> None:
    bulk = place.keep()
    place.job.run(new_turn(bulk.id))
    assert place.predictions.end(bulk.id, PredictionStatus.CANCELED)
    calls = len(place.server.calls)
    place.work(place.sent.pop(0))
    assert len(place.server.calls) == calls
    assert place.files() == []
    assert place.bulks.get(bulk.id).closed


def test_a_call_that_takes_too_long_is_made_smaller(place: Place) -> None:
    bulk = place.keep(ROWS[:256])
    place.server.errors = [BackendTimeoutError("Too slow.")]
    place.job.run(new_turn(bulk.id))
    bulk_now = place.bulks.get(bulk.id)
    place.bulks.release(bulk.id, bulk_now.chunks[0].turn, -LEASE)
    place.work(new_turn(bulk.id))
    assert place.server.calls[0] == 16
    assert np.array_equal(place.output(), ROWS[:256].astype("f8").sum(axis=1))


def test_lost_turns_are_sent_again_unless_they_wait(place: Place) -> None:
    bulk = place.keep()
    waiting = 1
    sweeper = BulkSweeper(
        place.bulks, place.shelf, place.job, lambda turn, _: place.sent.append(turn), lambda _: waiting, 5
    )
    assert sweeper.sweep() == 0
    waiting = 0
    assert sweeper.sweep() == 2
    assert sweeper.sweep() == 0, "not twice in a row"
    place.work(place.sent.pop(0))
    assert place.predictions.get(bulk.id).status is PredictionStatus.SUCCEEDED


def test_what_a_worker_left_undone_at_the_end_is_done_by_the_sweeper(place: Place) -> None:
    bulk = place.keep(ROWS[:10])
    place.job.run(new_turn(bulk.id))
    done = place.bulks.get(bulk.id)
    other = place.keep(ROWS[:10], name="0b")
    place.predictions.end("0b", PredictionStatus.CANCELED)
    sweeper = BulkSweeper(place.bulks, place.shelf, place.job, lambda *_: None, lambda _: 0, 5)
    sweeper.sweep()
    assert done.closed
    assert place.bulks.get("0b").closed
    assert other.key not in place.files()


def test_files_go_when_their_time_is_over(place: Place) -> None:
    bulk = place.keep(keep=-DAY)
    place.job.run(new_turn(bulk.id))
    assert place.files() != []
    place.shelf.sweep()
    assert place.files() == []
    assert place.bulks.find(bulk.id) is None
    assert place.bulks.parts(bulk.id) == []
