"""The adapter to TFaaS, as its source has it.

It predicts one row a call, so a batch is fanned out over a bounded number of kept connections. Nearly all of
its errors have the status 500, and a model that cannot run ends the connection without an answer.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from urllib3 import encode_multipart_formdata

from mlhub.common.backend import BackendSettings
from mlhub.common.errors import (
    BackendError,
    BackendRefusedError,
    BackendTimeoutError,
    BackendUnreachableError,
    NotDeployedError,
)
from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import Tensor
from mlhub.workers.adapters.answers import checked, garbage, words
from mlhub.workers.adapters.base import PROBE_TIMEOUT, RowsError
from mlhub.workers.adapters.connection import Answer, Data
from mlhub.workers.adapters.options import read_options
from mlhub.workers.adapters.servers import Call, ClosedError, ServerPool
from mlhub.workers.adapters.tfaas import names, rows, upload
from mlhub.workers.adapters.tfaas.archive import pack
from mlhub.workers.adapters.tfaas.rows import Predicted, RowCall

_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
"""Seconds to wait before a busy server is asked again: the first time, and at most."""
_CANNOT_RUN: Final = (
    "TFaaS closed the connection without an answer, as it does for a model or a row that it cannot run: it "
    "wants a SavedModel with the input 'serving_default_inputs_input' and the output "
    "'StatefulPartitionedCall', and rows of the model's own length."
)


class TFaaSOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only this protocol knows."""

    connections: Annotated[int, Meta(ge=1, le=256)] = 8
    """Rows that one worker process asks for at once."""


class _Params(msgspec.Struct):
    """What the server says of a model."""

    name: str
    input_name: str = ""
    output_name: str = ""
    img_channels: int = 0


class TFaaSAdapter:
    """Speaks TFaaS's own protocol."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._servers = ServerPool(settings)
        options = read_options(settings, TFaaSOptions)
        self._rows = ThreadPoolExecutor(options.connections, thread_name_prefix="tfaas")

    def deploy(self, model: str, deployment: str, files: Path) -> None:
        """Upload the files to every server that can be reached."""
        name = names.write(model, deployment)
        with tempfile.TemporaryFile() as tar:
            pack(files, name, tar)
            tar.flush()
            size = str(tar.tell())
            headers = {"Content-Type": "application/x-tar", "Content-Length": size}
            call = Call(
                "POST",
                "/upload",
                self._settings.load_timeout,
                lambda _address: (upload.pieces(tar.fileno()), headers),
            )
            failure: BackendUnreachableError | None = None
            reached = 0
            for address in self._servers.addresses:
                try:
                    with upload.turn(address):
                        checked(self._servers.ask(call, address))
                    self._look_for(name, address)
                    reached += 1
                except BackendUnreachableError as error:
                    failure = error
            if failure is not None and not reached:
                raise failure

    def undeploy(self, model: str, deployment: str) -> None:
        """Have every server delete the version; by form, which takes any name."""
        body, kind = encode_multipart_formdata({"model": names.write(model, deployment)})
        call = Call(
            "DELETE", "/delete", self._settings.timeout, lambda _address: (body, {"Content-Type": kind})
        )
        for address in self._servers.addresses:
            # One that is away keeps its files, so that the version is not gone before it was asked.
            checked(self._servers.ask(call, address))

    def ready(self, model: str, deployment: str) -> bool:
        """Ask a server for its description of the version."""
        return self._params(names.write(model, deployment)).status == HTTPStatus.OK

    def deployments(self) -> frozenset[tuple[str, str]]:
        """Read each server's list, and leave out models that are not of the hub."""
        found = []
        for answer in self._servers.ask_all(Call("GET", "/models", self._settings.timeout)):
            if answer.status != HTTPStatus.OK:
                raise BackendError(
                    f"TFaaS at {answer.address} cannot list its models, as happens when one of them has no "
                    f"params.json; remove that one: {words(answer)}"
                )
            try:
                # It says null when it has none.
                listed = msgspec.json.decode(answer.body, type=list[_Params] | None)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise garbage(answer) from error
            found.append(frozenset(version for item in listed or () if (version := names.read(item.name))))
        return frozenset.intersection(*found)

    def signature(self, model: str, deployment: str) -> Signature:
        """Return what is known: that rows are of one kind; their length is known to the model alone."""
        name = names.write(model, deployment)
        answer = self._params(name)
        if answer.status != HTTPStatus.OK:
            raise _not_deployed(answer)
        try:
            params = msgspec.json.decode(answer.body, type=_Params)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BackendError(
                "TFaaS does not say what the model takes; say it in the bundle's mlhub.json as 'signature'."
            ) from error
        given = TensorSpec(params.input_name or "input", "FP32", (ANY, ANY))
        if params.img_channels:
            given = TensorSpec("image", "BYTES", (ANY,))
        return Signature((given,), (TensorSpec(params.output_name or rows.OUTPUT, "FP32", (ANY, ANY)),))

    def predict(
        self, model: str, deployment: str, inputs: Sequence[Tensor], outputs: Sequence[str] = ()
    ) -> tuple[Tensor, ...]:
        """Ask for each row, several at once; a row that fails, fails alone."""
        name = names.write(model, deployment)
        deadline = time.monotonic() + self._settings.timeout

        def ask(call: RowCall | BackendError) -> Predicted | BackendError:
            if isinstance(call, BackendError):
                return call
            try:
                return rows.decode(self._predict(call, name, deadline))
            except BackendError as error:
                return error

        # Each thread needs a context of its own to know whom and which span it works for.
        calls = [(copy_context(), call) for call in rows.calls(inputs, name)]
        answers = list(self._rows.map(lambda one: one[0].run(ask, one[1]), calls))
        errors = {place: item for place, item in enumerate(answers) if isinstance(item, BackendError)}
        good = [item for item in answers if not isinstance(item, BackendError)]
        if not errors:
            return rows.stack(good, outputs)
        for error in errors.values():
            if len(answers) == 1 or type(error) not in {BackendError, BackendRefusedError}:
                # Not this row's fault.
                raise error
        raise RowsError(rows.stack(good, outputs) if good else (), errors)

    def probe(self) -> None:
        """Ask for the status; one server that is well is enough."""
        answer = checked(self._servers.ask(Call("GET", "/status", PROBE_TIMEOUT)))
        try:
            msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise garbage(answer) from error

    def _predict(self, row: RowCall, name: str, deadline: float) -> Answer:
        body: Callable[[str], tuple[Data, Mapping[str, str]]] = lambda _address: (row.body, row.headers)  # noqa: E731 (short)
        pause = _PAUSE
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise BackendTimeoutError(
                    f"The model server did not answer all rows within {self._settings.timeout:g} seconds."
                )
            try:
                answer = self._servers.ask(Call("POST", row.path, left, body))
            except ClosedError as error:
                # It may have died; then this raises.
                self.probe()
                raise BackendError(_CANNOT_RUN) from error
            if answer.status != HTTPStatus.TOO_MANY_REQUESTS or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and self._params(name).status != HTTPStatus.OK:
            raise _not_deployed(answer)
        return checked(answer)

    def _look_for(self, name: str, address: str) -> None:
        """See that an upload arrived: its answer is 200 and empty in any case."""
        if self._params(name, address).status != HTTPStatus.OK:
            raise BackendError(
                f"TFaaS at {address} took the bundle, but does not have the model; another upload may have "
                "come between. Upload it again."
            )

    def _params(self, name: str, address: str | None = None) -> Answer:
        return self._servers.ask(Call("GET", f"/params/{name}", self._settings.timeout), address)


def _not_deployed(answer: Answer) -> NotDeployedError:
    return NotDeployedError(f"The model server does not have this version: {words(answer)}")
