"""One inference: a request's body in, an answer's body out, without a Python object for each number."""

import numpy as np

from mlhub.common import oip, tensor
from mlhub.common.errors import UnacceptableError
from mlhub.common.signature import ANY, Signature, TensorSpec
from mlhub.common.tensor import DTYPES, Array
from mlhub.servers.repository import Deployed


def infer(deployed: Deployed, body: bytes, header_length: int | None) -> tuple[bytes, int | None]:
    """Answer a request of the Open Inference Protocol.

    Returns:
        The body, and the length of its JSON part, `None` when all of it is JSON.

    Raises:
        MalformedError: the body is no request.
        UnacceptableError: the inputs or outputs are not the model's, or it refuses the values.
    """
    request = oip.decode_request(body, header_length)
    signature = deployed.loaded.signature
    inputs = fit(request.inputs, signature)
    _check_outputs(request.outputs, signature)
    results = deployed.loaded.predict(inputs, request.outputs)
    return oip.encode_response(
        deployed.model,
        deployed.version,
        [tensor.encode(name, array) for name, array in results.items()],
        request_id=request.id,
        binary=request.binary,
    )


def fit(given: dict[str, Array], signature: Signature) -> dict[str, Array]:
    """Return the inputs in the datatypes of the signature; one that loses nothing is cast.

    Raises:
        UnacceptableError: one is missing, unknown, or of another datatype or shape.
    """
    fitted = {}
    for spec in signature.inputs:
        array = given.get(spec.name)
        if array is None:
            raise _bad(f"The input {spec.name!r} is missing.")
        fitted[spec.name] = _fit(array, spec)
    if len(given) != len(fitted):
        unknown = next(name for name in given if name not in fitted)
        raise _bad(f"The model has no input {unknown!r}; it takes {', '.join(fitted)}.")
    return fitted


def _fit(array: Array, spec: TensorSpec) -> Array:
    shape = array.shape
    if len(shape) != len(spec.shape) or any(
        wanted not in (ANY, extent) for wanted, extent in zip(spec.shape, shape, strict=True)
    ):
        raise _bad(f"The input {spec.name!r} has shape {list(shape)}; the model takes {list(spec.shape)}.")
    dtype = DTYPES[spec.datatype]
    if dtype.kind == "O" and not spec.allow_missing and None in array.ravel().tolist():
        raise _bad(f"A text is missing in the input {spec.name!r}; the model takes no missing values.")
    if array.dtype == dtype:
        return array
    # numpy also calls the cast from a number to an object, and from a boolean to a number, safe.
    are_numbers = array.dtype.kind in "iuf" and dtype.kind in "iuf"
    if not are_numbers or not np.can_cast(array.dtype, dtype, "safe"):
        datatype = tensor.datatype_of(array.dtype)
        raise _bad(f"The input {spec.name!r} is {datatype}; the model takes {spec.datatype}.")
    return array.astype(dtype)


def _check_outputs(names: tuple[str, ...], signature: Signature) -> None:
    if not names:
        return
    known = [spec.name for spec in signature.outputs]
    for name in names:
        if name not in known:
            raise _bad(f"The model has no output {name!r}; it gives {', '.join(known)}.")


def _bad(detail: str) -> UnacceptableError:
    return UnacceptableError(detail, code="bad_input")
