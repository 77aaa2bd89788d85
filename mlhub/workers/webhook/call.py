"""One call of a webhook: to an address that was checked, within a time that holds for all of it."""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException
from typing import Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from mlhub.common.addresses import Destination, Reach, destination, resolve
from mlhub.common.errors import UnacceptableError
from mlhub.workers.webhook.policy import Outcome, judged

_CONNECT: Final = 5.0
"""Seconds for a connection, and as many for its encryption."""
_MOST_READ: Final = 64 * 1024
"""Bytes of an answer that are read, so that the receiver need not notice that nobody looks at them."""


class Caller:
    """Calls receivers; any number of threads may share it."""

    def __init__(self, reach: Reach, timeout: float) -> None:
        """Remember where calls may go.

        Args:
            reach: addresses that may be called.
            timeout: seconds in which an answer has to come.
        """
        self._reach = reach
        self._timeout = timeout
        self._secure = ssl.create_default_context()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send a message, and tell how that went; whatever the receiver does, this returns."""
        try:
            target = destination(url, self._reach)
            numbers = resolve(target, self._reach)
        except UnacceptableError as error:
            return Outcome(error=error.detail, hopeless=True)
        except OSError:
            return Outcome(error="Its host's name does not resolve.")
        outcome = Outcome()
        for number in numbers[:2]:
            connection = self._connection(target, number)
            with closing(connection):
                try:
                    connection.connect()
                except (OSError, HTTPError) as error:
                    outcome = Outcome(error=_no_connection(error))
                    continue
                return self._send(connection, target, body, headers)
        return outcome

    def _connection(self, target: Destination, number: str) -> HTTPConnection:
        # Connections to the number and not to the name: that may be another machine's by now.
        timeout = min(_CONNECT, self._timeout)
        if target.scheme == "http":
            return HTTPConnection(number, target.port, timeout=timeout)
        return HTTPSConnection(
            number, target.port, timeout=timeout, ssl_context=self._secure, server_hostname=target.host
        )

    def _send(
        self, connection: HTTPConnection, target: Destination, body: bytes, headers: Mapping[str, str]
    ) -> Outcome:
        connection.timeout = self._timeout
        connection.sock.settimeout(self._timeout)
        with _cut_off(connection.sock, self._timeout) as late:
            try:
                # It may answer without having read everything.
                with suppress(BrokenPipeError):
                    connection.request(
                        "POST",
                        target.path,
                        body,
                        {**headers, "Host": target.authority},
                        preload_content=False,
                    )
                response = connection.getresponse()
            except (OSError, HTTPError, HTTPException) as error:
                if late.is_set() or isinstance(error, TimeoutError):
                    return self._too_late()
                return Outcome(error="It broke the connection off, or its answer is not HTTP.")
            if late.is_set():
                # What was cut off in the middle of its head looks like an answer.
                return self._too_late()
            with closing(response), suppress(OSError, HTTPError, HTTPException):
                response.read(_MOST_READ, decode_content=False)
            return judged(response.status, _seconds(response.headers.get("Retry-After", "")))

    def _too_late(self) -> Outcome:
        return Outcome(error=f"It did not answer within {self._timeout:g} seconds.")


@contextmanager
def _cut_off(sock: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """Cut a connection off after some seconds: a receiver that sends a byte now and then never times out.

    Yields:
        An event that is set once that has happened.
    """
    late = threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            # Not that of encrypted sockets, which takes away what the other thread reads with.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def _seconds(text: str) -> float:
    return float(text[:9]) if text.isascii() and text.isdigit() else 0.0


def _no_connection(error: Exception) -> str:
    reason = error.__cause__ or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"Its certificate is not accepted: {reason.verify_message}."
    if isinstance(reason, ssl.SSLError):
        return "It does not speak TLS as it should."
    if isinstance(reason, ConnectionRefusedError):
        return "Nothing listens there."
    return "No connection to it can be made."
