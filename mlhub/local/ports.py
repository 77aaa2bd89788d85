"""Free ports on this machine."""

import errno
import random
import socket
from collections.abc import Iterable
from typing import Final

from mlhub.local.errors import InstanceError

_RANGE: Final = range(20_000, 32_000)
"""Below those that systems give to outgoing connections, which would take a port while nothing listens."""
_TRIES: Final = 200


def free_ports(names: Iterable[str], known: dict[str, int]) -> dict[str, int]:
    """Return a port for each name: the known one where it is free, else another.

    All are held until every one is found, so that none is found twice.

    Raises:
        InstanceError: there are none.
    """
    held: list[socket.socket] = []
    ports: dict[str, int] = {}
    try:
        for name in names:
            wanted = [known[name]] if name in known else []
            candidates = (*wanted, *random.sample(_RANGE, _TRIES))
            listener = next(filter(None, map(_listen, candidates)), None)
            if listener is None:
                raise InstanceError("This machine has no free port on its loopback address.")
            held.append(listener)
            ports[name] = listener.getsockname()[1]
    finally:
        for listener in held:
            listener.close()
    return ports


def is_free(host: str, port: int) -> bool:
    """Tell whether nobody listens on a port.

    Raises:
        InstanceError: it is not an address of this machine, or the port is not for everybody's use.
    """
    try:
        listener = _bind(port, host)
    except PermissionError:
        raise InstanceError(f"Port {port} needs the rights of root; choose one above 1023.") from None
    except socket.gaierror:
        raise InstanceError(f"{host} is no address of this machine.") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise InstanceError(f"{host} is no address of this machine.") from None
        return False
    listener.close()
    return True


def listens(port: int) -> bool:
    """Tell whether somebody answers on a port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _listen(port: int) -> socket.socket | None:
    try:
        return _bind(port)
    except OSError:
        return None


def _bind(port: int, host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    # Connections of a server that has just ended must not make its port look taken.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
