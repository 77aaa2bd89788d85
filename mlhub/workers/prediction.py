"""The job of asynchronous predictions: claim groups of them, predict them together, record them together."""

import logging
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Final

import msgspec

from mlhub.common import logs, topology
from mlhub.common.errors import MLHubError, TooLargeError
from mlhub.common.prediction import Prediction, PredictionStatus, group_of
from mlhub.common.tensor import Tensor
from mlhub.common.tracing import Attributes, Kind, Tracing, spanning
from mlhub.storage.database import now
from mlhub.storage.groups import Group
from mlhub.storage.largetensors import LargeTensors
from mlhub.storage.work import Claim, WorkStore
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.attempts import PASSING, AttemptPolicy, SurpriseError, attempt
from mlhub.workers.lease import renewed
from mlhub.workers.stacking import Outcome, Stacker

_LOG = logging.getLogger(__name__)

_BUDGET: Final = 600.0
"""Seconds after which the rest of a message is left to the next: RabbitMQ takes a message away from a worker
that holds it for half an hour."""
_FLUSH: Final = 2.0
"""Seconds that outcomes may wait for others to be recorded with."""


class PredictionJob:
    """Works off asynchronous predictions of one backend."""

    def __init__(
        self,
        work: WorkStore,
        tensors: LargeTensors,
        adapter: BackendAdapter,
        policy: AttemptPolicy,
        max_bytes: int,
        batch_rows: int,
        tracing: Tracing | None = None,
    ) -> None:
        self._work = work
        self._tensors = tensors
        self._stacker = Stacker(adapter, batch_rows)
        self._policy = policy
        self._max_bytes = max_bytes
        self._tracing = tracing

    def run(self, identities: str | Sequence[str], *, redelivered: bool = False) -> bool:
        """Work off the groups that a message names; one that was delivered before does not run twice.

        Args:
            identities: names of groups, or of predictions in them.
            redelivered: whether the broker knows that the worker which had the message is gone.

        Returns:
            Whether all went as it should; otherwise some predictions were given up.
        """
        given = [identities] if isinstance(identities, str) else identities
        names = list(dict.fromkeys(group_of(identity) for identity in given))
        claims = self._work.claim(names, secrets.token_hex(8), self._policy.lease, orphaned=redelivered)
        if not claims:
            _LOG.info("%d groups of predictions are in other hands or have ended", len(names))
            return True
        run = _Run(self._work, self._tensors, self._stacker, self._policy, self._max_bytes, self._tracing)
        holder = claims[0].group.holder
        held = [claim.group.id for claim in claims]
        with renewed(lambda: self._work.renew(held, holder, self._policy.lease), self._policy.lease):
            run.together([claim.group for claim in claims if not claim.orphaned])
            for claim in claims:
                if claim.orphaned:
                    run.singly(claim)
        return not run.gave_up


class _Run:
    """What is done with the groups of one message."""

    def __init__(
        self,
        work: WorkStore,
        tensors: LargeTensors,
        stacker: Stacker,
        policy: AttemptPolicy,
        max_bytes: int,
        tracing: Tracing | None,
    ) -> None:
        self._tracing = tracing
        self._work = work
        self._tensors = tensors
        self._stacker = stacker
        self._policy = policy
        self._max_bytes = max_bytes
        self._until = time.monotonic() + _BUDGET
        self.gave_up = False
        """Whether a prediction failed that could be taken up once more."""

    @property
    def _is_late(self) -> bool:
        return time.monotonic() > self._until

    def together(self, groups: Sequence[Group]) -> None:
        """Predict groups that no worker died on, with as few calls and writes as possible."""
        current: dict[str, Group | None] = {group.id: group for group in groups}
        done: list[Prediction] = []
        again: set[str] = set()
        flushed = time.monotonic()
        for batch in self._stacker.batches([item for group in groups for item in group.open]):
            if self._is_late:
                again |= {group_of(item.id) for item in batch}
                continue
            for item, outcome in zip(batch, self._predict(batch), strict=True):
                ended = self._ended(item, outcome)
                if ended is None:
                    again.add(group_of(item.id))
                else:
                    done.append(ended)
            if time.monotonic() - flushed > _FLUSH:
                self._record(current, done)
                flushed = time.monotonic()
        self._record(current, done)
        for group in groups:
            if group.id in again:
                self._give_back(group)

    def _predict(self, batch: Sequence[Prediction]) -> Sequence[Outcome]:
        try:
            with logs.working_for(item.request for item in batch), self._spanning(batch):
                return attempt(
                    lambda: self._stacker.predict([self._tensors.with_inputs(item) for item in batch])
                )
        except SurpriseError as error:
            if len(batch) == 1:
                return [Outcome(error=error)]
            # One of them may be to blame.
            return [outcome for item in batch for outcome in self._predict([item])]
        except MLHubError as error:
            return [Outcome(error=error)] * len(batch)

    def _spanning(self, batch: Sequence[Prediction]) -> AbstractContextManager[None]:
        queue = topology.jobs_queue_name(batch[0].backend)
        known: Attributes = {**topology.traced(queue, "process"), "mlhub.requests": len(batch)}
        parents = [item.trace for item in batch]
        return spanning(self._tracing, f"process {queue}", Kind.CONSUMER, known, parents)

    def _record(self, current: dict[str, Group | None], done: list[Prediction]) -> None:
        by_group: dict[str, list[Prediction]] = {}
        for item in done:
            by_group.setdefault(group_of(item.id), []).append(item)
        done.clear()
        work = [(group, items) for name, items in by_group.items() if (group := current[name]) is not None]
        if work:
            for (group, items), later in zip(work, self._work.record(work), strict=True):
                current[group.id] = later
                self._drop_inputs(items, later)

    def singly(self, claim: Claim) -> None:
        """Predict a group that a worker died on one by one, those last that were begun most often."""
        group: Group | None = claim.group
        unexplained = claim.group.attempts - sum(item.tries for item in claim.group.predictions)
        again = False
        for item in sorted(claim.group.open, key=lambda item: item.tries):
            if group is None:
                return
            if self._is_late:
                again = True
                break
            if self._policy.deadly(item.tries) or self._policy.exhausted(unexplained):
                reason = "Its workers died on it again and again, so it is not tried any more."
                group = self._note(group, self._failed(item, SurpriseError(reason), dead=True))
                continue
            # Noted before it is begun, since a worker that it kills cannot tell.
            begun = msgspec.structs.replace(item, tries=item.tries + 1)
            group = self._note(group, begun)
            if group is None:
                return
            (outcome,) = self._predict([begun])
            ended = self._ended(begun, outcome)
            again = again or ended is None
            group = self._note(group, item if ended is None else ended)
        if again and group is not None:
            self._give_back(group)

    def _note(self, group: Group, changed: Prediction) -> Group | None:
        later = self._work.record([(group, [changed])])[0]
        self._drop_inputs([changed], later)
        return later

    def _drop_inputs(self, changed: Sequence[Prediction], later: Group | None) -> None:
        """Drop large inputs that are of no more use, unless their group is in other hands."""
        for item in () if later is None else changed:
            if item.status is PredictionStatus.SUCCEEDED:
                self._tensors.drop(item.inputs_file)

    def _give_back(self, group: Group) -> None:
        """Have what is left of a group taken up again, by whoever comes to it."""
        pause = timedelta() if self._is_late else self._policy.pause(group.attempts)
        self._work.release([group.id], group.holder, pause)

    def _ended(self, item: Prediction, outcome: Outcome) -> Prediction | None:
        """Return the prediction with its end, or nothing when it is to be tried again."""
        error = outcome.error
        if error is None and sum(len(output.data) for output in outcome.outputs) > self._max_bytes:
            error = TooLargeError(f"The answer has more than {self._max_bytes} bytes; send fewer rows.")
        if error is None:
            try:
                return self._tensors.without_result(_succeeded(item, outcome.outputs, outcome.seconds))
            except MLHubError as failure:
                error = failure
        if self._policy.again(item.attempts, error):
            _LOG.warning(
                "prediction %s will be tried again: %s", item.id, error, extra=logs.of([item.request])
            )
            return None
        return self._failed(item, error, dead=isinstance(error, PASSING))

    def _failed(self, item: Prediction, error: MLHubError, *, dead: bool) -> Prediction:
        _LOG.warning("prediction %s failed: %s", item.id, error, extra=logs.of([item.request]))
        self.gave_up = self.gave_up or dead
        return msgspec.structs.replace(
            item, status=PredictionStatus.FAILED, completed_at=now(), error=error.detail, dead=dead
        )


def _succeeded(item: Prediction, outputs: tuple[Tensor, ...], seconds: float) -> Prediction:
    return msgspec.structs.replace(
        item, status=PredictionStatus.SUCCEEDED, completed_at=now(), result=outputs, predict_time=seconds
    )
