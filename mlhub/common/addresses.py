"""Addresses: those a server may listen on, and those the hub may call because a client asks it to."""

import ipaddress
import re
import socket
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from mlhub.common.errors import UnacceptableError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST: Final = 2048
_URL: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9.])?|[0-9A-Fa-f:.]+")
_PORTS: Final = {"http": 80, "https": 443}
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared)
_FIRST_FREE: Final = 1024
"""Below it ports belong to well-known services, which must not get to read what a client has sent there."""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def local_url(host: str, port: int) -> str:
    """Return where this machine reaches what listens on a host: on loopback, if that is everywhere."""
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Reach(msgspec.Struct, frozen=True):
    """Which addresses the hub may call for a client, who could not call all of them from where it is."""

    everywhere: bool = False
    """Whether private addresses may be called too, those of this machine included."""
    networks: tuple[IPNetwork, ...] = ()
    """Private networks that may be called."""

    def allows(self, address: IPAddress) -> bool:
        """Tell whether an address may be called."""
        address = _meant(address)
        if address.is_multicast or address.is_unspecified:
            return False
        if self.everywhere or any(address in network for network in self.networks):
            return True
        is_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
        return address.is_global and not address.is_reserved and not is_local


class Destination(msgspec.Struct, frozen=True):
    """An address taken apart, as it is called."""

    scheme: str
    host: str
    """Name or number; an IPv6 address without its brackets."""
    port: int
    path: str
    """With the query; begins with a slash."""

    @property
    def authority(self) -> str:
        """The value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def destination(url: str, reach: Reach) -> Destination:
    """Take an address apart that a client gave, if it may be called as far as that can be told unresolved.

    Raises:
        UnacceptableError: it is no address that the hub calls; the sentence says why.
    """
    if len(url) > _LONGEST or _URL.fullmatch(url) is None or "\\" in url:
        raise _bad(f"has at most {_LONGEST} visible ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad("is an address such as https://example.org/done") from None
    if parts.scheme not in _PORTS:
        raise _bad("begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise _bad("has neither user nor password in its address; its signature proves who calls")
    host = parts.hostname or ""
    if _HOST.fullmatch(host) is None:
        raise _bad("names a host such as example.org")
    port = _PORTS[parts.scheme] if port is None else port
    if not (port in _PORTS.values() or port >= _FIRST_FREE):
        raise _bad(f"uses port 80, 443, or one from {_FIRST_FREE}")
    number = _number(host)
    is_local = host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost")
    if (number is not None and not reach.allows(number)) or (
        is_local and not reach.allows(ipaddress.IPv4Address("127.0.0.1"))
    ):
        raise forbidden(host)
    return Destination(parts.scheme, host, port, _path(parts))


def resolve(target: Destination, reach: Reach) -> list[str]:
    """Return the numeric addresses that a destination has now and that may be called.

    Whoever calls has to connect to one of these, and not to the name, which may mean something else a moment
    later.

    Raises:
        UnacceptableError: none of them may be called.
        OSError: the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(str(error)) from error
    # A zone (`fe80::1%eth0`) is for addresses of one link alone.
    numbers = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    allowed = [number for number in numbers if reach.allows(ipaddress.ip_address(number))]
    if not allowed:
        raise forbidden(target.host)
    return allowed


def forbidden(host: str) -> UnacceptableError:
    """Make the error of a host that the hub does not call."""
    return UnacceptableError(
        f"This hub does not call {host}, which is no public address; its operator can allow it with "
        "MLHUB_WEBHOOK_PRIVATE.",
        code="webhook_address_refused",
    )


def _bad(what: str) -> UnacceptableError:
    return UnacceptableError(f"A webhook {what}.", code="bad_webhook")


def _path(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def _number(host: str) -> IPAddress | None:
    """Return the address that a host is in numbers, also in the old forms of resolvers: 127.1, 0x7f000001."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _meant(address: IPAddress) -> IPAddress:
    """Return the IPv4 address where an IPv6 one stands for it."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address
