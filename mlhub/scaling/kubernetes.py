"""Pools on Kubernetes: the replicas of a deployment for each pool, through its `scale` subresource.

https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/#scale-v1-autoscaling
"""

import os
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
import requests

from mlhub.common.pool import PoolKind
from mlhub.common.settings import SettingsError
from mlhub.scaling.names import program_name
from mlhub.scaling.scaler import ScalerError

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds who it is."""
_TIMEOUT: Final = (2.0, 10.0)
"""Seconds that connecting, and an answer, may take."""
_MERGE: Final = "application/merge-patch+json"


class Cluster(msgspec.Struct, frozen=True):
    """How to reach the API of a cluster, and as whom."""

    url: str
    """Its base address."""
    namespace: str
    """Namespace of the deployments."""
    token_file: Path
    """Where the service account's token stands; the cluster replaces it every hour."""
    ca_file: Path | None = None
    """Certificates to trust."""


class _Sizes(msgspec.Struct, frozen=True):
    replicas: int = 0


class _Scale(msgspec.Struct, frozen=True):
    """The part of a `Scale` that matters here; fields that are zero may be missing."""

    spec: _Sizes = _Sizes()
    status: _Sizes = _Sizes()


class KubernetesScaler:
    """Sets the replicas of deployments. A pod that is too many gets SIGTERM and its grace period.

    Args:
        cluster: where they are.
        prefix: of their names, as in `mlhub-predict-sklearn`.
    """

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self._cluster = cluster
        self._prefix = prefix
        self._session = requests.Session()
        # Neither proxies nor a `.netrc` are for the cluster's own API.
        self._session.trust_env = False
        self._session.verify = True if cluster.ca_file is None else str(cluster.ca_file)

    def keep(self, backend: str, kind: PoolKind, count: int) -> int | None:
        """Read the deployment's scale, and change it when it differs; none of that name is no such pool."""
        name = f"{self._prefix}{program_name(backend, kind)}".lower().replace("_", "-")
        scale = self._call("GET", name)
        if scale is not None and scale.spec.replicas != count:
            scale = self._call("PATCH", name, {"spec": {"replicas": count}})
        return None if scale is None else scale.status.replicas

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(self, method: str, name: str, change: dict[str, Any] | None = None) -> _Scale | None:
        cluster = self._cluster
        path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments/{name}/scale"
        try:
            # Read anew each time, since it is replaced.
            headers = {"Authorization": f"Bearer {cluster.token_file.read_text().strip()}"}
            if change is not None:
                headers["Content-Type"] = _MERGE
            body = None if change is None else msgspec.json.encode(change)
            response = self._session.request(
                method,
                cluster.url + path,
                data=body,
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except OSError as error:
            # Those of requests are among them; what they say may hold addresses, and the log has it.
            raise ScalerError(f"The API of Kubernetes at {cluster.url} does not answer: {error}.") from error
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        if not response.ok:
            raise ScalerError(
                f"Kubernetes refuses to {method} the scale of deployment {name} in {cluster.namespace}: "
                f"{response.status_code}, {_reason(response)}"
            )
        try:
            return msgspec.json.decode(response.content, type=_Scale)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ScalerError(f"What answers at {cluster.url} is not the API of Kubernetes.") from error


class _Status(msgspec.Struct, frozen=True):
    """How the API says what went wrong."""

    message: str = ""


def _reason(response: requests.Response) -> str:
    try:
        message = msgspec.json.decode(response.content, type=_Status).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = ""
    return f"{message or response.reason}."


def inside_cluster() -> Cluster:
    """Return the cluster that this process runs in.

    Raises:
        SettingsError: it runs in none.
    """
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    try:
        namespace = (_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    if not (host and port and namespace):
        raise SettingsError(
            "MLHUB_SCALER is 'kubernetes', but this process runs in no pod with a service account; "
            "see the page of scaling."
        )
    address = f"[{host}]" if ":" in host else host
    return Cluster(f"https://{address}:{port}", namespace, _ACCOUNT / "token", _ACCOUNT / "ca.crt")
