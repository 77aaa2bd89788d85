"""Input as JSON: rows, named rows, tensors of the Open Inference Protocol, keys and values."""

from typing import Final

import msgspec

from mlhub.api.bodies import decode
from mlhub.api.inputs.base import check_outputs
from mlhub.api.services.predictions import Order
from mlhub.api.services.routes import Route
from mlhub.common import oip, rows
from mlhub.common.errors import FieldError, MalformedError, UnacceptableError

_SPACE: Final = b" \t\r\n"


class PredictBody(msgspec.Struct):
    """The JSON body, as far as it must be known before the model is."""

    input: msgspec.Raw = msgspec.Raw()
    """One row, or a list of rows."""
    inputs: msgspec.Raw = msgspec.Raw()
    """Rows by name of the input, or a list of tensors in the form of the Open Inference Protocol."""
    keys: tuple[str, ...] | None = None
    """Names of the values, as TFaaS has them; they say nothing to the model."""
    values: msgspec.Raw = msgspec.Raw()
    """One row or a list of rows, flat."""
    outputs: msgspec.Raw = msgspec.Raw()
    """Names of the outputs to return."""
    model: str | None = None
    version: str | None = None


_BODY: Final = msgspec.json.Decoder(PredictBody)
_NAMES: Final = msgspec.json.Decoder(tuple[str, ...])
_VALUES: Final = msgspec.json.Decoder(list[msgspec.Raw])


class DocumentInput:
    """An object with the input and more."""

    def __init__(self, text: bytes) -> None:
        """Read as much of it as is clear without the model.

        Raises:
            MalformedError: it is not JSON, or has no input.
            UnacceptableError: it is JSON of another form.
        """
        self._text = text
        self._body = decode(text, _BODY)
        self.model = self._body.model
        self.version = self._body.version

    async def order(self, route: Route, outputs: tuple[str, ...]) -> Order:
        """Check it against what the model takes."""
        body = self._body
        if bytes(body.inputs).lstrip(_SPACE).startswith(b"["):
            return tensors(route, oip.decode_request(self._text), outputs)
        if bytes(body.input):
            given = rows.from_json(body.input, route.signature)
        elif bytes(body.inputs):
            given = rows.from_named(body.inputs, route.signature)
        elif bytes(body.values):
            given = rows.from_json(body.values, route.signature, "/values", flat=True)
            self._check_keys()
        else:
            raise MalformedError(
                'The body has no input; send {"input": […]} with one row or a list of rows.', code="no_input"
            )
        named = outputs or self._outputs()
        return Order(route, given, check_outputs(named, route.signature))

    def _outputs(self) -> tuple[str, ...]:
        if not bytes(self._body.outputs):
            return ()
        try:
            return _NAMES.decode(self._body.outputs)
        except (msgspec.DecodeError, UnicodeDecodeError):
            detail = "The names of outputs are a list of strings."
            raise UnacceptableError(
                detail, code="bad_body", fields=(FieldError("/outputs", detail),)
            ) from None

    def _check_keys(self) -> None:
        keys = self._body.keys
        values = _VALUES.decode(self._body.values)
        if keys and not bytes(values[0]).startswith(b"[") and len(keys) != len(values):
            detail = f"There are {len(keys)} keys for {len(values)} values."
            raise UnacceptableError(detail, code="bad_input", fields=(FieldError("/keys", detail),))


class ValueInput:
    """A bare row or list of rows, as the file in a form may be."""

    model = None
    version = None

    def __init__(self, text: bytes) -> None:
        self._text = text

    async def order(self, route: Route, outputs: tuple[str, ...]) -> Order:
        """Check it against what the model takes."""
        raw = decode(self._text, _RAW)
        return Order(route, rows.from_json(raw, route.signature), check_outputs(outputs, route.signature))


_RAW: Final = msgspec.json.Decoder(msgspec.Raw)


def document(text: bytes) -> DocumentInput | ValueInput:
    """Tell an object around the input from a bare input.

    Raises:
        MalformedError: it is not JSON.
    """
    return DocumentInput(text) if text.lstrip(_SPACE)[:1] == b"{" else ValueInput(text)


def tensors(route: Route, request: oip.InferRequest, outputs: tuple[str, ...] = ()) -> Order:
    """Check a request of the Open Inference Protocol against what the model takes.

    Raises:
        UnacceptableError: it does not fit.
    """
    return Order(
        route,
        rows.from_tensors(request.inputs, route.signature),
        check_outputs(outputs or request.outputs, route.signature),
        "oip",
        request.id,
        request.binary,
    )
