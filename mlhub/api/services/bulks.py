"""Bulk predictions: a file is taken in and looked at, kept with what there is to do, and its output given."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from mlhub.api.services.predictions import identity as new_identity
from mlhub.api.services.predictions import same_order
from mlhub.api.services.routes import Route
from mlhub.common.bulk import Bulk, BulkForm, Part
from mlhub.common.bulkscan import Scan, create_scan
from mlhub.common.errors import ConflictError, MLHubError, UnacceptableError
from mlhub.common.logs import REQUEST_ID
from mlhub.common.prediction import BulkProgress, Prediction, PredictionStatus
from mlhub.common.signature import Signature
from mlhub.common.tracing import TRACEPARENT
from mlhub.common.webhook import Webhook
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bulkshelf import BulkShelf
from mlhub.storage.bundles import BundleWriter, StoredBundle
from mlhub.storage.database import now
from mlhub.storage.predictions import NEVER, PredictionStore


class BulkOrder(msgspec.Struct, frozen=True):
    """What a client asked to be predicted from a file."""

    route: Route
    form: BulkForm
    outputs: tuple[str, ...]
    """Names of the outputs asked for; empty means the model's default."""
    version: str
    """The version as the client named it."""
    key: str | None
    """Digest of the client's idempotency key."""
    webhook: Webhook | None = None
    """What is called at its end."""


class BulkIntake:
    """A file on its way in, a `BundleWriter` that looks at what it writes."""

    def __init__(self, order: BulkOrder, writer: BundleWriter, scan: Scan) -> None:
        self.order = order
        self.scan = scan
        self.writer = writer

    def write(self, chunk: bytes) -> None:
        """Add bytes.

        Raises:
            MLHubError: the store takes no more, or they are not what the model takes.
        """
        self.scan.feed(chunk)
        self.writer.write(chunk)

    def seal(self) -> StoredBundle:
        """End writing and say what was written."""
        return self.writer.seal()

    def commit(self, key: str) -> None:
        """Put the file into the store."""
        self.writer.commit(key)

    def abort(self) -> None:
        """Leave nothing behind."""
        self.writer.abort()


class BulkService:
    """What calls with files mean."""

    def __init__(
        self, predictions: PredictionStore, bulks: BulkStore, shelf: BulkShelf, keep: timedelta, slots: int
    ) -> None:
        """Remember what is needed.

        Args:
            predictions: all predictions.
            bulks: the work of bulk ones.
            shelf: their files.
            keep: how long they are kept.
            slots: chunks of one that may be in work at once.
        """
        self._predictions = predictions
        self._bulks = bulks
        self._shelf = shelf
        self._keep = keep
        self._slots = slots

    def begin(self, order: BulkOrder) -> BulkIntake:
        """Begin to take a file in.

        Raises:
            UnacceptableError: the model cannot be given a file of this form.
            UnavailableError: the store takes nothing.
        """
        scan = create_scan(order.form, order.route.signature)
        if len(order.outputs) > 1:
            raise UnacceptableError(
                "A file has one output; name one with '?outputs=…'.", code="several_outputs"
            )
        return BulkIntake(order, self._shelf.create(), scan)

    def accept(self, intake: BulkIntake) -> tuple[Prediction, Bulk | None]:
        """Keep a file that is all there, to be worked off; when this returns, it is not lost any more.

        Returns:
            What is kept, and its work; with the key of an earlier prediction that one, and nothing.

        Raises:
            UnacceptableError: the key was used for something else.
            MLHubError: the file is cut off, or has no rows.
        """
        layout = intake.scan.end()
        order = intake.order
        stored = intake.seal()
        created = now()
        held = self._shelf.keep(intake, created + self._keep)
        route = order.route
        bulk = Bulk(
            id=new_identity(),
            model=route.model,
            version=route.version,
            backend=route.backend,
            deployment=route.deployment,
            signature=route.signature,
            outputs=order.outputs or _default(route.signature),
            layout=layout,
            key=held.key,
            holder=held.holder,
            size=stored.size,
            slots=self._slots,
            created_at=created,
            expires_at=created + self._keep,
            swept_at=created,
            request=REQUEST_ID.get(),
            trace=TRACEPARENT.get(),
        )
        try:
            # First the work: a prediction that is kept is accepted, and must not be without it.
            self._bulks.add(bulk)
            kept = self._predictions.add(_prediction(order, bulk, stored))
        except MLHubError:
            self._shelf.discard(bulk)
            raise
        if kept.id == bulk.id:
            return kept, bulk
        self._shelf.discard(bulk)
        same = same_order(kept, _prediction(order, bulk, stored))
        if isinstance(same, MLHubError):
            raise same
        return same, None

    def output(self, identity: str) -> tuple[Bulk, Sequence[Part]]:
        """Return what an output is made of.

        Raises:
            NotFoundError: there is no such prediction, or it is none of a file.
            ConflictError: it has no output, or not yet.
        """
        prediction = self._predictions.get(identity)
        if prediction.bulk is None:
            raise ConflictError(
                "This prediction has its output in itself: GET /predictions/{id}.", code="not_bulk"
            )
        if prediction.status is not PredictionStatus.SUCCEEDED:
            raise ConflictError(f"The prediction has no output: it is {prediction.status}.", code="no_output")
        return self._bulks.get(identity), self._bulks.parts(identity)

    def read(self, part: Part) -> bytes:
        """Return a part's bytes.

        Raises:
            UnavailableError: the store does not answer, or has something else than was written.
        """
        return self._shelf.read(part.key, part.sha256)


def _default(signature: Signature) -> tuple[str, ...]:
    """Name the first output, where the model says what it gives: of several there is one in the file."""
    return (signature.outputs[0].name,) if len(signature.outputs) > 1 else ()


def _prediction(order: BulkOrder, bulk: Bulk, stored: StoredBundle) -> Prediction:
    url = None if order.webhook is None else order.webhook.url
    asked = (bulk.model, order.version, order.outputs, order.form, stored.sha256, url)
    digest = hashlib.blake2b(msgspec.msgpack.encode(asked), digest_size=24).hexdigest()
    return Prediction(
        id=bulk.id,
        model=bulk.model,
        version=bulk.version,
        backend=bulk.backend,
        deployment=bulk.deployment,
        inputs=(),
        outputs=order.outputs,
        labels=order.route.labels,
        created_at=bulk.created_at,
        # It is never claimed, and never lost, as one that has its input in itself.
        lease_until=NEVER,
        published_at=NEVER,
        bulk=BulkProgress(bulk.layout.rows),
        key=order.key,
        webhook=order.webhook,
        order_digest=None if order.key is None else digest,
        request=bulk.request,
        trace=bulk.trace,
    )
