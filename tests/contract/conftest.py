"""An object store for the tests: moto's server, as a process of its own."""

import itertools
import socket
from typing import Final

START: Final = 150.0
_NUMBERS: Final = itertools.count(1)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
