"""The adapter to servers of the Open Inference Protocol v2: MLHub's own, MLServer, KServe, Triton."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from mlhub.common import logs, oip, oipshared, tensor
from mlhub.common.backend import BackendSettings
from mlhub.common.batch import BatchRequest
from mlhub.common.errors import (
    BackendError,
    BackendUnreachableError,
    MLHubError,
    NotDeployedError,
)
from mlhub.common.oipshared import SharedAnswer, SharedCall, SharedRequest
from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Tensor
from mlhub.workers.adapters.answers import checked, garbage
from mlhub.workers.adapters.base import PROBE_TIMEOUT, Answered
from mlhub.workers.adapters.connection import Answer
from mlhub.workers.adapters.extensions import Extensions
from mlhub.workers.adapters.options import NoOptions, read_options
from mlhub.workers.adapters.repository import ModelRepository
from mlhub.workers.adapters.servers import Call, ServerPool

_LOG = logging.getLogger(__name__)

_UNKNOWN: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
"""Answers of a server that does not know the model, or the call."""


_THERE: Final = ("READY", "LOADING")
"""States of a version that a server has, or will have in a moment."""
_JSON: Final = {"Content-Type": oip.JSON_TYPE}
_SHARED: Final = {"Content-Type": oipshared.TYPE}
_PATIENCE: Final = 0.9
"""Part of the time for a call that has several batches within which the server has to answer each."""


class _NotSharedError(Exception):
    """The server takes one request a call."""


class _Metadata(msgspec.Struct):
    """A model as servers declare it."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


class Listed(msgspec.Struct):
    """A version in a server's index."""

    name: str
    version: str | None = None
    state: str | None = None


_INDEX: Final = msgspec.json.Decoder(list[Listed])


class OpenInferenceAdapter:
    """Speaks the protocol over REST, with binary tensors where the server has that extension."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._configure(settings)
        self._servers = ServerPool(settings)
        self._extensions = Extensions(self._servers, settings.timeout)
        self._repository = None if settings.repository is None else ModelRepository(settings.repository)

    def deploy(self, model: str, deployment: str, files: Path) -> None:
        """Put the files where the servers look, and have each that can be reached load them."""
        if self._repository is None:
            raise BackendError(
                "This backend has no folder to put models in; whoever runs the hub sets its 'repository'.",
                code="no_repository",
            )
        self._place(self._repository, model, deployment, files)
        for answer in self._tell(model, deployment, "load", self._settings.load_timeout):
            if answer.status in _UNKNOWN:
                raise NotDeployedError(
                    f"The model server at {answer.address} does not find what was put into 'repository'; it "
                    "looks in another folder, or lacks the protocol's repository extension."
                )
            checked(answer)

    def undeploy(self, model: str, deployment: str) -> None:
        """Remove the files, and have each server that can be reached unload the version."""
        if self._repository is None:
            # Nothing was ever deployed.
            return
        self._repository.remove(model, deployment)
        try:
            answers = self._unload(model, deployment)
        except BackendUnreachableError as error:
            # When it comes back it finds no files.
            _LOG.info("version %s of %s was not unloaded: %s", deployment, model, error)
            return
        for answer in answers:
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and answer.status not in _UNKNOWN:
                checked(answer)

    def ready(self, model: str, deployment: str) -> bool:
        """Ask a server; only the status of its answer counts."""
        call = Call("GET", f"{self._path(model, deployment)}/ready", self._settings.timeout)
        return self._servers.ask(call).status == HTTPStatus.OK

    def deployments(self) -> frozenset[tuple[str, str]]:
        """Read each server's index."""
        lazy: dict[str, bool] = {}

        def body(address: str) -> tuple[bytes, dict[str, str]]:
            lazy[address] = oip.LAZY_EXTENSION in self._extensions.of(address)
            return b"{}", _JSON

        found: list[frozenset[tuple[str, str]]] = []
        for answer in self._servers.ask_all(
            Call("POST", "/v2/repository/index", self._settings.timeout, body)
        ):
            if answer.status in _UNKNOWN:
                raise BackendError(
                    f"The model server at {answer.address} lacks the protocol's repository extension, so "
                    "that it cannot tell what it has."
                )
            try:
                index = _INDEX.decode(checked(answer).body)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise garbage(answer) from error
            found.append(
                frozenset(
                    (item.name, item.version)
                    for item in index
                    if item.version is not None
                    and (lazy[answer.address] or self._is_there(answer.address, item))
                )
            )
        return frozenset.intersection(*found)

    def signature(self, model: str, deployment: str) -> Signature:
        """Read the model's metadata."""
        call = Call("GET", self._path(model, deployment), self._settings.load_timeout)
        answer = checked(self._servers.ask(call))
        try:
            found = msgspec.json.decode(answer.body, type=_Metadata)
        except msgspec.DecodeError as error:
            raise garbage(answer) from error
        for spec in found.inputs + found.outputs:
            if spec.datatype not in DTYPES or any(extent < ANY for extent in spec.shape):
                raise BackendError(
                    f"The model server declares {spec.name!r} as {spec.datatype} of shape "
                    f"{list(spec.shape)}, which the protocol does not have."
                )
        return Signature(found.inputs, found.outputs)

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        """Send one batch; any server that can be reached may answer it."""
        made: dict[bool, tuple[bytes, dict[str, str]]] = {}

        def body(address: str) -> tuple[bytes, dict[str, str]]:
            binary = oip.BINARY_EXTENSION in self._extensions.of(address)
            if binary not in made:
                made[binary] = _request(inputs, outputs, binary=binary)
            return made[binary]

        path = f"{self._path(model, deployment)}/infer"
        call = Call("POST", path, self._settings.timeout, body)
        return _outputs(checked(self._servers.ask(call)))

    def predict_together(self, batches: Sequence[BatchRequest]) -> Sequence[Answered] | None:
        """Send batches of several models in one call, to a server that takes such calls."""
        made: list[bytes] = []

        def body(address: str) -> tuple[bytes, dict[str, str]]:
            if oipshared.EXTENSION not in self._extensions.of(address):
                raise _NotSharedError
            if not made:
                made.append(oipshared.ENCODER.encode(self._shared(batches)))
            return made[0], _SHARED

        try:
            call = Call("POST", oipshared.PATH, self._settings.timeout, body)
            answer = checked(self._servers.ask(call))
        except _NotSharedError:
            return None
        try:
            answers = oipshared.ANSWERS.decode(answer.body)
        except msgspec.DecodeError as error:
            raise garbage(answer) from error
        if len(answers) != len(batches):
            raise garbage(answer)
        return [_answered(answer, item) for item in answers]

    def probe(self) -> None:
        """Ask for readiness; one server that is ready is enough."""
        answer = self._servers.ask(Call("GET", "/v2/health/ready", PROBE_TIMEOUT))
        if answer.status != HTTPStatus.OK:
            raise BackendError(f"The model server at {answer.address} is not ready.")

    def _configure(self, settings: BackendSettings) -> None:
        """Read the options."""
        read_options(settings, NoOptions)

    def _served(self, model: str, deployment: str) -> tuple[str, str | None]:
        """Return what the servers call model and version; no version means their default."""
        return model, deployment

    def _path(self, model: str, deployment: str) -> str:
        """Return where the servers have a version."""
        name, version = self._served(model, deployment)
        return f"/v2/models/{name}" if version is None else f"/v2/models/{name}/versions/{version}"

    def _shared(self, batches: Sequence[BatchRequest]) -> SharedCall:
        requests = []
        for batch in batches:
            body, length = oip.encode_request(batch.inputs, batch.outputs, binary=True)
            served = self._served(batch.model, batch.deployment)
            requests.append(SharedRequest(*served, length, body, logs.portable(batch.requests)))
        return SharedCall(tuple(requests), self._settings.timeout * _PATIENCE)

    def _place(self, repository: ModelRepository, model: str, deployment: str, files: Path) -> None:
        """Put the files where the servers look."""
        repository.place(model, deployment, files)

    def _unload(self, model: str, deployment: str) -> list[Answer]:
        """Have the servers forget a version whose files are gone."""
        return self._tell(model, deployment, "unload", self._settings.timeout)

    def _is_there(self, address: str, listed: Listed) -> bool:
        """Tell whether a server has a version of its index."""
        del address
        return listed.state in _THERE

    def _tell(self, model: str, deployment: str, verb: str, timeout: float) -> list[Answer]:
        """Make a repository call to every server; return the answers of those that can be reached.

        Raises:
            BackendUnreachableError: none can.
        """
        text = msgspec.json.encode({"parameters": {"version": deployment}})
        call = Call(
            "POST",
            f"/v2/repository/models/{model}/{verb}",
            timeout,
            lambda _address: (text, _JSON),
        )
        return self._servers.ask_all(call)


def _request(
    inputs: Sequence[Tensor], outputs: Sequence[str], *, binary: bool
) -> tuple[bytes, dict[str, str]]:
    data, length = oip.encode_request(inputs, outputs, binary=binary)
    if length is None:
        return data, _JSON
    return data, {"Content-Type": oip.BINARY_TYPE, oip.HEADER_LENGTH: str(length)}


def _answered(shared: Answer, item: SharedAnswer) -> Answered:
    """Read one answer of several as if it had come alone."""
    headers = {} if item.header_length is None else {oip.HEADER_LENGTH: str(item.header_length)}
    answer = Answer(shared.address, item.status, headers, item.body, shared.conceal)
    try:
        return Answered(_outputs(checked(answer)), seconds=item.seconds)
    except BackendError as error:
        return Answered(error=error, seconds=item.seconds)


def _outputs(answer: Answer) -> tuple[Tensor, ...]:
    length = answer.headers.get(oip.HEADER_LENGTH)
    try:
        outputs = oip.decode_response(answer.body, None if length is None else int(length))
        for output in outputs:
            # Costs microseconds here; an output that is cut short would fail far from its cause.
            tensor.decode(output)
    except (MLHubError, ValueError) as error:
        raise garbage(answer) from error
    return outputs
