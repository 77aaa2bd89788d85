"""PyTorch's tensors and numpy's arrays: datatypes, devices, and the way from one to the other."""

from typing import Final

import numpy as np
import torch

from mlhub.common.errors import UnacceptableError
from mlhub.common.tensor import DTYPES, Array
from mlhub.servers.artefact import refusal

_DATATYPES: Final[dict[torch.dtype, str]] = {
    torch.bool: "BOOL",
    torch.uint8: "UINT8",
    torch.uint16: "UINT16",
    torch.uint32: "UINT32",
    torch.uint64: "UINT64",
    torch.int8: "INT8",
    torch.int16: "INT16",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.float16: "FP16",
    torch.bfloat16: "FP32",
    torch.float32: "FP32",
    torch.float64: "FP64",
}
"""The protocol's datatypes; its widest neighbour where it has none."""


def datatype(dtype: torch.dtype) -> str:
    """Name the protocol's datatype for a tensor's.

    Raises:
        UnacceptableError: there is none, as for complex numbers.
    """
    try:
        return _DATATYPES[dtype]
    except KeyError:
        raise refusal(f"it takes or gives tensors of {dtype}, which cannot be sent") from None


def dtype_of(name: str) -> torch.dtype:
    """Return the type of tensors that hold the protocol's datatype.

    Raises:
        UnacceptableError: there is none, as for text.
    """
    for dtype, known in _DATATYPES.items():
        if known == name and dtype is not torch.bfloat16:
            return dtype
    raise refusal(f"PyTorch has no tensors of {name}")


def choose_device(wanted: str) -> torch.device:
    """Return the device to compute on: the one that is wanted, or a GPU where there is one.

    Args:
        wanted: `auto`, or a name as PyTorch has it: `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        UnacceptableError: there is none of that name here.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UnacceptableError(
            f"PyTorch has no device {wanted!r} here; leave out --device to have one chosen.", code="no_device"
        ) from error
    return device


def to_tensor(array: Array, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Make a tensor that the model may write to: one that came from the wire is copied."""
    owned = array if array.flags.writeable and array.flags.c_contiguous else array.copy()
    return torch.from_numpy(owned).to(device=device, dtype=dtype)


def to_array(result: object) -> Array:
    """Make an array of what a model gave.

    Raises:
        TypeError: that is no tensor.
    """
    if isinstance(result, int | float):
        return np.asarray(result)
    if not isinstance(result, torch.Tensor):
        raise TypeError(f"the model gave a {type(result).__name__} instead of a tensor")
    given = result.detach()
    dtype = DTYPES[datatype(given.dtype)]
    if given.dtype is torch.bfloat16:
        given = given.float()
    return given.cpu().resolve_conj().resolve_neg().numpy().astype(dtype, copy=False)
