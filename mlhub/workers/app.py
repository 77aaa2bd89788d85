"""The composition of a worker process: its Celery application with the tasks of one pool."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal

from celery import Celery
from celery.signals import worker_ready, worker_shutdown
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from mlhub.common import metrics, topology
from mlhub.common.errors import UnavailableError
from mlhub.common.rounds import Pauses, Rounds
from mlhub.common.settings import Settings, SettingsError
from mlhub.common.tally import Tally
from mlhub.common.tracing import Tracing, create_tracing
from mlhub.common.webhook import secrets_of
from mlhub.storage.bulks import BulkStore
from mlhub.storage.bulkshelf import BulkShelf
from mlhub.storage.cards import CardStore
from mlhub.storage.catalogue import Catalogue
from mlhub.storage.copies import CopyStore
from mlhub.storage.database import connect
from mlhub.storage.expiry import Expiry
from mlhub.storage.heldfiles import HeldFiles
from mlhub.storage.indexer import Indexer
from mlhub.storage.indexes import indexing
from mlhub.storage.lanes import LaneStore
from mlhub.storage.largetensors import LargeTensors
from mlhub.storage.leases import LeaseStore
from mlhub.storage.models import ModelStore
from mlhub.storage.predictions import PredictionStore
from mlhub.storage.shelf import BundleShelf
from mlhub.storage.stores import create_bundle_store
from mlhub.storage.uploads import UploadStore
from mlhub.storage.versions import VersionStore
from mlhub.storage.webhooks import WebhookStore
from mlhub.storage.work import WorkStore
from mlhub.workers import pulse, strategy, tasks, transport
from mlhub.workers.adapters import create_adapter
from mlhub.workers.adapters.base import BackendAdapter
from mlhub.workers.adapters.measured import MeasuredAdapter
from mlhub.workers.attempts import AttemptPolicy
from mlhub.workers.bulk import BulkJob
from mlhub.workers.bulksweeper import BulkSweeper
from mlhub.workers.bundle.archive import UnpackLimits
from mlhub.workers.consumer import DeadLetters, PassingControl, QueueConsumer
from mlhub.workers.courtesy import Courtesy
from mlhub.workers.dispatcher import Dispatcher, Way
from mlhub.workers.prediction import PredictionJob
from mlhub.workers.queuelength import QueueLength
from mlhub.workers.reconciler import Reconciler
from mlhub.workers.records import Records
from mlhub.workers.removal import RemovalJob
from mlhub.workers.sweeper import Publish, Sweeper
from mlhub.workers.traced import TracedAdapter, traced
from mlhub.workers.validation.job import BundleRules, ValidationJob
from mlhub.workers.webhook.call import Caller
from mlhub.workers.webhook.deliverer import Deliverer
from mlhub.workers.webhook.policy import DeliveryPolicy

Kind = Literal["predict", "jobs"]
"""The two pools of a backend."""
_UPKEEP: Final = 10.0
"""Seconds between two looks at the search index."""
_TICK: Final = 0.1
"""Seconds between two looks at what is to be dispatched."""
_EXPIRY: Final = 60.0
"""Seconds between two looks for what is over."""
_IDLE: Final = 20
"""Times the length of a reconciliation that pass before the next: a long one must not keep others busy."""


def create_worker(settings: Settings, backend: str, kind: Kind) -> Celery:
    """Build the Celery application of one pool's process.

    Raises:
        SettingsError: there is no backend of that name.
    """
    if backend not in settings.backends:
        known = ", ".join(settings.backends)
        raise SettingsError(
            f"There is no backend {backend!r}; configured are: {known}.", code="unknown_backend"
        )
    tally = Tally()
    tracing = create_tracing(f"mlhub-{kind}")
    adapter = create_adapter(settings.backends[backend])
    if tracing is None:
        adapter = MeasuredAdapter(adapter, backend, tally)
    else:
        adapter = TracedAdapter(adapter, backend, tally, tracing)
        # A weak reference would let it go at once.
        worker_shutdown.connect(lambda **_: tracing.close(), weak=False)
    queues = (topology.predict_queue(backend),) if kind == "predict" else topology.job_queues(backend)
    # Encrypted connections may not be written by one thread while another reads: they go Celery's own way.
    is_plain = settings.broker_url.startswith("amqp://")
    app = topology.celery_app(
        settings.broker_url,
        broker_transport=transport.NAME if is_plain else None,
        task_queues=queues,
        worker_hijack_root_logger=False,
        # Of batches the next ones are at hand when a thread is free; jobs last long and are better spread.
        worker_prefetch_multiplier=2 if kind == "predict" else 1,
        broker_transport_options={"confirm_publish": kind == "jobs"},
        worker_consumer=QueueConsumer,
    )
    app.control_cls = PassingControl
    app.steps["consumer"].add(pulse.beating(kind, backend, tally))
    if kind == "predict":
        wrap = None if tracing is None else partial(traced, tracing=tracing, backend=backend)
        tasks.register_predict(app, adapter, wrap, **({"Strategy": strategy.NAME} if is_plain else {}))
    else:
        app.steps["consumer"].add(DeadLetters)
        _add_jobs(app, settings, backend, adapter, tally, tracing)
    return app


def _add_jobs(
    app: Celery,
    settings: Settings,
    backend: str,
    adapter: BackendAdapter,
    tally: Tally,
    tracing: Tracing | None,
) -> None:
    pickles = settings.backends[backend].allow_pickles
    database = connect(settings.mongodb_url, settings.database)
    keep = timedelta(seconds=settings.prediction_ttl)
    leases = LeaseStore(database)
    models = ModelStore(database)
    versions = VersionStore(database)
    bundles = create_bundle_store(settings)
    shelf = BundleShelf(bundles, CopyStore(database), versions)
    cards = CardStore(database)
    records = Records(
        versions=versions,
        predictions=PredictionStore(database, keep),
        work=WorkStore(database, keep),
        catalogue=Catalogue(models, versions, shelf, cards),
        shelf=shelf,
        uploads=UploadStore(database, shelf),
        bundles=bundles,
        cards=cards,
    )
    retries = tally.count(metrics.RETRIES, backend)
    policy = AttemptPolicy(settings.job_attempts, timedelta(seconds=settings.lease), retries.increase)
    claims = AttemptPolicy(settings.job_attempts, timedelta(seconds=settings.claim), retries.increase)
    rules = BundleRules(
        UnpackLimits(settings.max_unpacked_bytes, settings.max_unpacked_files, settings.max_unpacked_ratio),
        allow_pickles=settings.allow_pickles if pickles is None else pickles,
        work=Path(settings.run_dir) / "work",
        step_timeout=settings.step_timeout,
    )
    bulks = BulkStore(database)
    tensors = LargeTensors(HeldFiles(shelf, bundles), keep, settings.max_inline_bytes)
    bulk_shelf = BulkShelf(bulks, shelf, bundles)
    publish, waiting = _publisher(app, topology.jobs_queue), QueueLength(app)
    backlog = Way(_publisher(app, topology.backlog_queue), QueueLength(app, topology.backlog_queue))
    send_turn = partial(backlog.publish, topology.JOB_BULK)
    # One for all that may wait, so that they take turns with each other, too.
    courtesy = Courtesy()
    bulk_job = BulkJob(bulks, bulk_shelf, records.predictions, adapter, claims, send_turn, courtesy, tracing)
    tasks.register_jobs(
        app,
        PredictionJob(
            records.work,
            tensors,
            adapter,
            policy,
            settings.max_prediction_bytes,
            settings.backends[backend].batch_rows,
            tracing,
        ),
        bulk_job,
        ValidationJob(records, models, adapter, claims, rules),
        RemovalJob(records, adapter, claims),
        courtesy,
        topology.backlog_queue_name(backend),
    )
    bulk_sweeper = BulkSweeper(
        bulks, bulk_shelf, bulk_job, send_turn, backlog.waiting, settings.sweep_interval
    )
    sweeper = Sweeper(
        records,
        publish,
        waiting,
        settings.sweep_interval,
        settings.upload_grace,
        rules.work,
        bulk_sweeper.sweep,
        settings.backends,
    )
    stopping = threading.Event()
    reconciler = Reconciler(backend, records, adapter, leases, rules, stopping)
    dispatcher = Dispatcher(
        records.work,
        LaneStore(database),
        leases,
        Way(publish, waiting),
        backlog,
        policy,
        timedelta(seconds=settings.job_deadline),
    )
    webhooks = _deliverer(settings, WebhookStore(database))
    threads = (
        indexing((), Indexer(database, models).run, _UPKEEP),
        Rounds("sweeping", sweeper.sweep, Pauses(settings.sweep_interval, first=settings.sweep_interval)),
        Rounds(
            "reconciliation",
            reconciler.reconcile,
            Pauses(settings.reconcile_interval, idle=_IDLE),
            stopping=stopping,
            clear=reconciler.give_back,
            # Whoever predicts notices servers that are away.
            level=logging.INFO,
        ),
        Rounds("expiry", Expiry(database).remove, Pauses(_EXPIRY, first=_EXPIRY)),
        Rounds("dispatching", dispatcher.dispatch, Pauses(_TICK, first=_TICK), clear=dispatcher.give_back),
        *([webhooks] if webhooks else []),
    )
    # Weak references would let the threads go at once; the closures live as long as the process.
    for thread in threads:
        worker_ready.connect(lambda thread=thread, **_: thread.start(), weak=False)
        worker_shutdown.connect(lambda thread=thread, **_: thread.stop(), weak=False)


def _deliverer(settings: Settings, webhooks: WebhookStore) -> Deliverer | None:
    if settings.webhook_secret is None:
        return None
    timeout = settings.webhook_timeout
    policy = DeliveryPolicy(settings.webhook_attempts, settings.webhook_pause)
    caller = Caller(settings.webhook_reach, timeout)
    return Deliverer(webhooks, caller, policy, secrets_of(settings.webhook_secret), timeout)


def _publisher(app: Celery, queue_of: Callable[[str], Queue]) -> Publish:
    def publish(task: str, record: str | list[str], backend: str) -> None:
        try:
            app.send_task(task, (record,), queue=queue_of(backend), ignore_result=True, retry=False)
        except (OperationalError, OSError) as error:
            raise UnavailableError("The broker does not answer.", code="broker_unavailable") from error

    return publish
