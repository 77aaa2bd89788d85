"""Arrays and JSON: rows on their way to a hub, outputs on their way back."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from mlhub.client.errors import HubError
from mlhub.common import oip, tensor
from mlhub.common.errors import MLHubError
from mlhub.common.tensor import Array


def encode_rows(rows: Any, outputs: Iterable[str] = ()) -> bytes:
    """Make a body from an array, from lists of numbers, texts or arrays, or from inputs by name.

    `outputs` names those to ask for; none means the model's default.

    Raises:
        HubError: JSON cannot carry what is in there.
    """
    wanted = {"outputs": list(outputs)} if outputs else {}
    try:
        given = {"inputs": rows} if isinstance(rows, Mapping) else {"input": _plain(rows)}
        body = msgspec.json.encode(given | wanted, enc_hook=_plain)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise HubError(f"These rows cannot be sent: {error}.", code="bad_input") from error
    if b"null" in body:
        _check_finite(given)
    return body


def is_table(rows: Any) -> bool:
    """Tell whether rows are a data frame, as pandas has them: columns with names."""
    return hasattr(rows, "columns") and hasattr(rows, "__array__")


def are_inputs(rows: Any) -> bool:
    """Tell whether rows are inputs by name, each with the rows first."""
    return isinstance(rows, Mapping) and all(np.ndim(values) for values in rows.values())


def columns(table: Any) -> dict[str, Any]:
    """Return the columns of a data frame by name."""
    return {str(name): np.asarray(table[name]) for name in table.columns}


def encode_inputs(inputs: Mapping[str, Any], outputs: Iterable[str] = ()) -> bytes:
    """Make the body of the Open Inference Protocol from arrays or lists by input name, rows first.

    `outputs` names those to ask for; none means the model's default.

    Raises:
        HubError: JSON cannot carry what is in there.
    """
    try:
        arrays = {name: _sendable(np.asarray(values)) for name, values in inputs.items()}
        tensors = [tensor.encode(name, array) for name, array in arrays.items()]
        body, _ = oip.encode_request(tensors, outputs, binary=False)
    except MLHubError as error:
        raise HubError(error.detail, code=error.code) from error
    except (TypeError, ValueError) as error:
        raise HubError(f"These inputs cannot be sent: {error}.", code="bad_input") from error
    return body


def decode_outputs(body: bytes) -> dict[str, Array]:
    """Read the outputs, by name, from an answer in the form of the Open Inference Protocol.

    Raises:
        HubError: it is not in that form.
    """
    try:
        return {output.name: tensor.decode(output) for output in oip.decode_response(body)}
    except MLHubError as error:
        raise HubError(f"The hub's answer cannot be read: {error.detail}", code="bad_answer") from error


def named_outputs(output: Any) -> dict[str, Array]:
    """Return the outputs, by name, of a submitted prediction whose inputs were named.

    Raises:
        HubError: its outputs have no names.
    """
    if not is_named(output):
        raise HubError("This prediction was submitted without names; use result().", code="one_output")
    return decode_outputs(msgspec.json.encode({"model_name": "", "outputs": output}))


def is_named(output: Any) -> bool:
    """Tell whether an output is in the form of the Open Inference Protocol."""
    return (
        isinstance(output, list) and bool(output) and isinstance(output[0], dict) and "datatype" in output[0]
    )


def array_of(output: Any) -> Array:
    """Return the output of a model as an array.

    Raises:
        HubError: the model gives several outputs, or one that is no array.
    """
    if is_named(output):
        output = named_outputs(output)
        if len(output) == 1:
            return next(iter(output.values()))
    if isinstance(output, dict):
        names = ", ".join(output)
        raise HubError(
            f"This model gives several outputs ({names}); use infer() to get them by name.",
            code="several_outputs",
        )
    try:
        return _with_missing(np.asarray(output))
    except ValueError as error:
        raise HubError(f"The model's output is no array: {error}.", code="bad_answer") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return tensor.to_list(_sendable(np.asarray(value)))
    if isinstance(value, tuple | list | str | int | float):
        return value
    if hasattr(value, "__array__"):
        # Data frames and the tensors of other libraries.
        return _plain(np.asarray(value))
    if value is not None and _is_missing(value):
        return None
    raise TypeError(f"{type(value).__name__} is neither an array nor a list of numbers")


def _sendable(array: Array) -> Array:
    """Return an array whose missing values are NaN or `None`; whether there may be any the hub knows.

    Raises:
        HubError: it holds infinity.
    """
    array = _with_missing(array)
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise _infinite()
    return array


def _with_missing(array: Array) -> Array:
    """Make fractions of an array of objects that are numbers, some of which are missing."""
    if array.dtype.kind != "O":
        return array
    elements = [None if _is_missing(element) else element for element in array.ravel().tolist()]
    there = [element for element in elements if element is not None]
    are_numbers = all(
        isinstance(element, int | float | np.number) and not isinstance(element, bool) for element in there
    )
    if there and are_numbers and len(there) < len(elements):
        return np.array(elements, dtype=np.float64).reshape(array.shape)
    filled = np.empty(len(elements), dtype=object)
    filled[:] = elements
    return filled.reshape(array.shape)


def _is_missing(value: Any) -> bool:
    """Tell whether a value is one of those that stand for none: `None`, NaN, or pandas's own."""
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ == "NAType"


def _check_finite(rows: Any) -> None:
    """Look for infinity in lists, which JSON would have as `null`, like values that are missing.

    Raises:
        HubError: there is some.
    """
    waiting = [rows]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list | tuple):
            waiting += found
        elif isinstance(found, Mapping):
            waiting += found.values()
        elif isinstance(found, float) and math.isinf(found):
            raise _infinite()


def _infinite() -> HubError:
    return HubError("The rows hold infinity, which no model can use.", code="bad_input")
