"""`mlhub scaler`: brings the pools to the sizes that are wished for."""

import signal
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlhub.common.settings import Settings
    from mlhub.scaling.keeper import Keeper
    from mlhub.scaling.scaler import Scaler


def scaler() -> None:
    """Bring pools to the sizes that 'mlhub scale' or their load calls for.

    'mlhub up' starts one. On Kubernetes it runs beside the API, with MLHUB_SCALER=kubernetes.
    """
    # The database's driver takes its time to import; `mlhub --help` should not wait for it.
    from mlhub.common import logs  # noqa: PLC0415
    from mlhub.common.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    logs.configure(settings.log_format, settings.log_level)
    keeper = create_keeper(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: keeper.stop())
    keeper.run()


def create_keeper(settings: "Settings") -> "Keeper":
    """Build the keeper of the pools.

    Raises:
        SettingsError: this process is not where its scaler could be.
    """
    from mlhub.common.pool import PoolKind  # noqa: PLC0415
    from mlhub.scaling.keeper import Keeper, Look  # noqa: PLC0415
    from mlhub.scaling.rules import Sample  # noqa: PLC0415
    from mlhub.storage.database import connect  # noqa: PLC0415
    from mlhub.storage.leases import LeaseStore  # noqa: PLC0415
    from mlhub.storage.pools import PoolStore  # noqa: PLC0415
    from mlhub.storage.predictions import PredictionStore  # noqa: PLC0415

    pools = {
        (name, kind): settings.pool(backend, kind)
        for name, backend in settings.backends.items()
        for kind in PoolKind
    }
    database = connect(settings.mongodb_url, settings.database)

    def nothing(_backend: str, _kind: PoolKind) -> Sample:
        raise AssertionError("No pool follows its load.")

    look: Look = nothing
    if any(pool.automatic for pool in pools.values()):
        # Celery and kombu are half of the memory of this process.
        from mlhub.scaling.queues import Queues  # noqa: PLC0415

        predictions = PredictionStore(database, timedelta(seconds=settings.prediction_ttl))
        look = Queues(settings.broker_url, predictions).look
    return Keeper(
        pools, PoolStore(database), LeaseStore(database), _scaler(settings), look, settings.scale_interval
    )


def _scaler(settings: "Settings") -> "Scaler":
    if settings.scaler == "kubernetes":
        from mlhub.scaling.kubernetes import KubernetesScaler, inside_cluster  # noqa: PLC0415

        return KubernetesScaler(inside_cluster(), settings.kubernetes_prefix)
    from mlhub.scaling.circus import CircusScaler  # noqa: PLC0415

    return CircusScaler(settings.run_dir)
