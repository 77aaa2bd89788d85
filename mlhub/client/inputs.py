"""Rows from the command line: JSON text, or a file of JSON, npy or CSV."""

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mlhub.client.errors import HubError


def parse(text: str) -> Any:
    """Read rows from JSON text.

    Raises:
        HubError: it is not JSON.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise HubError(f"The input is not JSON: {error}.", code="bad_input") from error


def load(path: Path) -> Any:
    """Read rows from a file; its ending tells the form: `.npy`, `.csv`, anything else is JSON.

    Raises:
        HubError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HubError(f"{path} cannot be read: {error.strerror}.", code="unreadable") from error
    try:
        if path.suffix == ".npy":
            return np.load(io.BytesIO(content), allow_pickle=False)
        if path.suffix == ".csv":
            return np.loadtxt(io.BytesIO(content), delimiter=",", ndmin=2)
        return parse(content.decode())
    except ValueError as error:
        raise HubError(f"{path} does not hold rows: {error}.", code="bad_input") from error


def save(path: Path, output: Any) -> None:
    """Write an output to a file: `.npy` as an array, anything else as JSON."""
    if path.suffix == ".npy":
        np.save(path, np.asarray(output))
    else:
        values = (
            {name: value.tolist() for name, value in output.items()}
            if isinstance(output, dict)
            else output.tolist()
        )
        path.write_bytes(msgspec.json.encode(values))
