"""A receiver of webhooks for the tests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec


class Call(msgspec.Struct, frozen=True):
    """One call as it came."""

    path: str
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing: callers break off."""


class Receiver:
    """Notes all calls, and answers as it is told."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.arrived = threading.Condition()
        self.answer: Callable[[Call], int | None] = lambda _: 204
        """Returns the status to answer with; nothing breaks the connection off."""
        self.headers: dict[str, str] = {}
        """Of each answer."""
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait_for(self, count: int, path: str = "") -> list[Call]:
        """Return the calls of a path once there are that many."""

        def there() -> list[Call]:
            return [call for call in self.calls if call.path.startswith(path)]

        with self.arrived:
            assert self.arrived.wait_for(lambda: len(there()) >= count, 150), self.calls
            return there()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                with receiver.arrived:
                    receiver.calls.append(call)
                    receiver.arrived.notify_all()
                status = receiver.answer(call)
                if status is None:
                    return
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        return Handler

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        thread.join()
