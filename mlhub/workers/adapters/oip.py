"""The adapter to servers of the Open Inference Protocol v2: MLHub's own, MLServer, KServe, Triton."""

import shutil
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from mlhub.common import oip
from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    MLHubError,
    NotDeployedError,
)
from mlhub.common.settings import BackendSettings
from mlhub.common.signature import Signature, TensorSpec
from mlhub.common.tensor import Tensor
from mlhub.workers.adapters.servers import Answer, ServerPool

_PROBE_TIMEOUT: Final = 1.5
"""Seconds a healthy server needs at most to say that it is."""


class _Server(msgspec.Struct):
    """What a server says of itself."""

    extensions: tuple[str, ...] = ()


class _Tensor(msgspec.Struct):
    """An input or output as servers declare it."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class _Metadata(msgspec.Struct):
    """A model as servers declare it."""

    inputs: tuple[_Tensor, ...] = ()
    outputs: tuple[_Tensor, ...] = ()


class _Refusal(msgspec.Struct):
    """The body of an error."""

    error: str


class OpenInferenceAdapter:
    """Speaks the protocol over REST, with binary tensors where the server has that extension."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._servers = ServerPool(settings.addresses)
        self._binary: dict[str, bool] = {}
        """Whether a server, by address, takes binary tensors."""

    def deploy(self, model: str, deployment: str, files: Path) -> None:
        """Put the files where the servers look, and have each load them."""
        place = self._place(model, deployment)
        if not place.exists():
            incoming = place.parent / f".{deployment}-{uuid4().hex}"
            try:
                shutil.copytree(files, incoming)
                incoming.rename(place)
            except OSError as error:
                shutil.rmtree(incoming, ignore_errors=True)
                if not place.exists():
                    raise BackendError(
                        f"The model repository cannot be written: {error.strerror}."
                    ) from error
        for address in self._settings.addresses:
            self._repository_call(address, model, deployment, "load", self._settings.load_timeout)

    def undeploy(self, model: str, deployment: str) -> None:
        """Have each server unload the version, and remove its files."""
        place = self._place(model, deployment)
        for address in self._settings.addresses:
            try:
                self._repository_call(address, model, deployment, "unload", self._settings.timeout)
            except (NotDeployedError, BackendRefusedError):
                # It does not have it, which is what was wanted.
                continue
        shutil.rmtree(place, ignore_errors=True)
        try:
            place.parent.rmdir()
        except OSError:
            # Other versions of the model are there, or it is gone already.
            return

    def ready(self, model: str, deployment: str) -> bool:
        """Ask a server; only the status of its answer counts."""
        path = f"/v2/models/{model}/versions/{deployment}/ready"
        return self._servers.get(path, self._settings.timeout).status == HTTPStatus.OK

    def signature(self, model: str, deployment: str) -> Signature:
        """Read the model's metadata."""
        path = f"/v2/models/{model}/versions/{deployment}"
        answer = _checked(self._servers.get(path, self._settings.load_timeout))
        try:
            found = msgspec.json.decode(answer.body, type=_Metadata)
        except msgspec.DecodeError as error:
            raise _garbage(answer) from error
        return Signature(_specs(found.inputs), _specs(found.outputs))

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        """Send one batch; any server that can be reached may answer it."""
        path = f"/v2/models/{model}/versions/{deployment}/infer"

        def body(address: str) -> tuple[bytes, dict[str, str]]:
            data, header_length = oip.encode_request(inputs, outputs, binary=self._takes_binary(address))
            if header_length is None:
                return data, {"Content-Type": oip.JSON_TYPE}
            return data, {"Content-Type": oip.BINARY_TYPE, oip.HEADER_LENGTH: str(header_length)}

        answer = _checked(self._servers.post(path, body, self._settings.timeout))
        length = answer.headers.get(oip.HEADER_LENGTH)
        try:
            return oip.decode_response(answer.body, int(length) if length else None)
        except (MLHubError, ValueError) as error:
            raise _garbage(answer) from error

    def probe(self) -> None:
        """Ask for readiness; one server that is ready is enough."""
        answer = self._servers.get("/v2/health/ready", _PROBE_TIMEOUT)
        if answer.status != HTTPStatus.OK:
            raise BackendError(f"The model server at {answer.address} is not ready.")

    def _takes_binary(self, address: str) -> bool:
        known = self._binary.get(address)
        if known is None:
            answer = self._servers.get("/v2", self._settings.timeout, address)
            try:
                server = msgspec.json.decode(answer.body, type=_Server)
            except msgspec.DecodeError as error:
                raise _garbage(answer) from error
            known = self._binary[address] = oip.BINARY_EXTENSION in server.extensions
        return known

    def _repository_call(self, address: str, model: str, deployment: str, verb: str, timeout: float) -> None:
        data = msgspec.json.encode({"parameters": {"version": deployment}})
        headers = {"Content-Type": oip.JSON_TYPE}
        path = f"/v2/repository/models/{model}/{verb}"
        _checked(self._servers.post(path, lambda _address: (data, headers), timeout, address))

    def _place(self, model: str, deployment: str) -> Path:
        if self._settings.repository is None:
            raise BackendError(
                "This backend has no model repository to put models in; its operator sets 'repository'."
            )
        return self._settings.repository / model / deployment


def _checked(answer: Answer) -> Answer:
    """Return a good answer.

    Raises:
        NotDeployedError: the server does not have the model.
        BackendRefusedError: it refuses, with its own words.
        BackendError: it failed.
    """
    if answer.status < HTTPStatus.BAD_REQUEST:
        return answer
    words = _words(answer)
    if answer.status == HTTPStatus.NOT_FOUND:
        raise NotDeployedError(f"The model server does not have this version: {words}")
    if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise BackendRefusedError(words)
    raise BackendError(f"The model server failed ({answer.status}): {words}")


def _words(answer: Answer) -> str:
    """Return what the server says is wrong, as one line of bearable length."""
    try:
        text = msgspec.json.decode(answer.body, type=_Refusal).error
    except msgspec.DecodeError:
        text = answer.body.decode("utf-8", "replace")
    return " ".join(text.split())[:2000] or "it does not say why."


def _garbage(answer: Answer) -> BackendError:
    return BackendError(
        f"The model server at {answer.address} answered something that is not of its protocol."
    )


def _specs(declared: tuple[_Tensor, ...]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(item.name, item.datatype, item.shape) for item in declared)
