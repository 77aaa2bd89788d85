"""Another host, as a network namespace: what it serves is reached over a link that can be unplugged.

Unlike a cut wire, this is the system's own network: packets are lost, addresses cannot be reached, and connections
go on only when their next repetition is due.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_CLONE_NEWNET: Final = 0x40000000


class NoHostError(Exception):
    """No network namespace may be made here."""


class Host:
    """A namespace with one link to this one, and no other."""

    def __init__(self, name: str, near: str, far: str) -> None:
        self._name = name
        self._link = f"{name}f"
        self.near = near
        """The address of this side of the link."""
        self.far = far
        """That of the other side."""

    def listen(self) -> socket.socket:
        """Return a socket that listens there; who has it need not be there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/self/ns/net").open() as here, Path(f"/run/netns/{self._name}").open() as there:
            # Of this thread alone; a socket stays in the namespace where it was made.
            if libc.setns(there.fileno(), _CLONE_NEWNET):
                raise NoHostError(os.strerror(ctypes.get_errno()))
            try:
                return socket.create_server((self.far, 0))
            finally:
                libc.setns(here.fileno(), _CLONE_NEWNET)

    def unplug(self) -> None:
        """Take the link down at the far side."""
        _ip("-n", self._name, "link", "set", self._link, "down")

    def plug(self) -> None:
        """Put it up again."""
        _ip("-n", self._name, "link", "set", self._link, "up")


@contextmanager
def another_host() -> Iterator[Host]:
    """Make another host.

    Raises:
        NoHostError: that is not permitted, or not possible here.
    """
    number = os.getpid()
    name, link = f"mlhub{number}", f"mlhub{number}n"
    # Addresses that are for tests of networks only.
    base = f"198.18.{number >> 6 & 255}.{{}}"
    host = Host(name, base.format((number & 63) * 4 + 1), base.format((number & 63) * 4 + 2))
    _ip("netns", "add", name)
    try:
        _ip("link", "add", link, "type", "veth", "peer", "name", f"{name}f", "netns", name)
        _ip("addr", "add", f"{host.near}/30", "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", name, "addr", "add", f"{host.far}/30", "dev", f"{name}f")
        host.plug()
        yield host
    finally:
        # The namespace itself goes with its last socket.
        _ip("netns", "del", name)
        subprocess.run(("ip", "link", "del", link), check=False, capture_output=True)  # noqa: S607


def _ip(*arguments: str) -> None:
    try:
        subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True)  # noqa: S607
    except FileNotFoundError as error:
        raise NoHostError("the program 'ip' is not installed") from error
    except subprocess.CalledProcessError as error:
        raise NoHostError(error.stderr.strip()) from error
