"""Free ports on this machine."""

import socket
from collections.abc import Iterable


def free_ports(names: Iterable[str], known: dict[str, int]) -> dict[str, int]:
    """Return a port for each name: the known one where it is free, else another.

    All are held open until every one is found, so that none is found twice.
    """
    held: list[socket.socket] = []
    ports: dict[str, int] = {}
    try:
        for name in names:
            listener = _listen(known.get(name, 0)) or _listen(0)
            if listener is None:
                raise OSError("This machine has no free port on its loopback address.")
            held.append(listener)
            ports[name] = listener.getsockname()[1]
    finally:
        for listener in held:
            listener.close()
    return ports


def is_free(host: str, port: int) -> bool:
    """Tell whether nobody listens on a port."""
    listener = _listen(port, host)
    if listener is None:
        return False
    listener.close()
    return True


def _listen(port: int, host: str = "127.0.0.1") -> socket.socket | None:
    listener = socket.socket()
    # Connections of a server that has just ended must not make its port look taken.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        return None
    return listener
