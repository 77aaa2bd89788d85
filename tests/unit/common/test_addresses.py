"""Addresses that the hub calls for clients: public ones only, however they are written."""

import ipaddress
import socket
from typing import Any

import pytest

from mlhub.common.addresses import Reach, destination, resolve
from mlhub.common.errors import UnacceptableError

PUBLIC = Reach()


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://example.org/done?x=1#part", "example.org", 443, "/done?x=1", "example.org"),
        ("http://example.org", "example.org", 80, "/", "example.org"),
        ("http://Example.ORG:8080/a", "example.org", 8080, "/a", "example.org:8080"),
        ("https://8.8.8.8/", "8.8.8.8", 443, "/", "8.8.8.8"),
        (
            "http://[2606:4700:4700::1111]:8080/",
            "2606:4700:4700::1111",
            8080,
            "/",
            "[2606:4700:4700::1111]:8080",
        ),
    ],
)
def test_an_address_is_taken_apart(url: str, host: str, port: int, path: str, authority: str) -> None:
    found = destination(url, PUBLIC)
    assert (found.host, found.port, found.path, found.authority) == (host, port, path, authority)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/done",
        "//example.org/done",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "http://",
        "http:///done",
        "http://user@example.org/",
        "http://user:word@example.org/",
        "http://@example.org/",
        "http://example.org:0/",
        "http://example.org:22/",
        "http://example.org:25/",
        "http://example.org:65536/",
        "http://example.org:-1/",
        "http://example.org:x/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://exa mple.org/",
        "http://example.org/\r\nX-Header: 1",
        "http://example.org\\@127.0.0.1/",
        "http://ex\u00e4mple.org/",
        "http://-example.org/",
        "http://exam_ple.org\u2024com/",
        "http://example.org/" + "a" * 2048,
    ],
)
def test_what_is_no_address_of_a_receiver_is_refused(url: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        destination(url, Reach(everywhere=True))
    assert caught.value.code == "bad_webhook"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",  # noqa: S104
        "0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[::127.0.0.1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[2001::1]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff0e::1]",
        "localhost",
        "LocalHost.",
        "a.localhost",
    ],
)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(UnacceptableError) as caught:
        destination(f"http://{host}/", PUBLIC)
    assert caught.value.code == "webhook_address_refused"


def test_private_addresses_may_be_allowed_all_or_by_network() -> None:
    everywhere = Reach(everywhere=True)
    some = Reach(networks=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")))
    for host in ("127.0.0.1", "10.1.2.3", "[::1]", "localhost", "[fd00::1]"):
        assert destination(f"http://{host}/", everywhere)
    for host in ("10.1.2.3", "[::ffff:10.1.2.3]", "[fd00::1]", "8.8.8.8"):
        assert destination(f"http://{host}/", some)
    for host in ("10.2.0.1", "127.0.0.1", "[fc00::1]", "localhost"):
        with pytest.raises(UnacceptableError):
            destination(f"http://{host}/", some)
    for host in ("0.0.0.0", "224.0.0.1", "[::]", "[ff02::1]"):  # noqa: S104
        with pytest.raises(UnacceptableError):
            destination(f"http://{host}/", everywhere)


def test_a_name_is_called_only_at_addresses_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["10.0.0.1", "8.8.8.8", "fe80::1%eth0", "8.8.8.8"]

    def lookup(*_arguments: Any, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, 80)) for number in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    target = destination("http://example.org/", PUBLIC)
    assert resolve(target, PUBLIC) == ["8.8.8.8"]
    found = ["127.0.0.1", "::ffff:10.0.0.1"]
    with pytest.raises(UnacceptableError) as caught:
        resolve(target, PUBLIC)
    assert caught.value.code == "webhook_address_refused"


def test_a_name_that_cannot_be_one_does_not_resolve() -> None:
    with pytest.raises(OSError, match=r".+"):
        resolve(destination("http://" + "a" * 80 + ".invalid/", PUBLIC), PUBLIC)
