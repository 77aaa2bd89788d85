"""The embedded document database: MongoDB's protocol in a process of its own."""

import shutil
import sys
from pathlib import Path
from typing import Final

from mlhub.local.errors import MissingError
from mlhub.local.program import Program

_CACHE: Final = "128M"
"""Memory for its cache at most; metadata is small."""
_CONFIGURATION: Final = "[storage]\nttl_sweep_seconds = 0\n"
"""Job workers remove what is over: see `mlhub.storage.expiry` for the reason."""
_BEHIND: Final = (("chrt", "--batch", "0"), ("nice", "-n", "10"))
"""Put it behind those that clients wait for: predictions of a backlog are mostly its work. It gets a smaller
part of a processor that others want, and takes none away from them when it has something to do."""
_LOOK: Final = 60_000
"""Milliseconds that it may leave a look of the driver unanswered: on this machine one that is gone is noticed
at once, and of one that is only busy a look that is given up breaks off all calls."""


class EmbeddedDatabase:
    """SecantusDB with its files in the folder `home`."""

    def __init__(self, home: Path, port: int) -> None:
        self._home = home
        self._port = port

    @property
    def url(self) -> str:
        """Where clients connect."""
        # It would keep the last 10,000 writes in memory for half an hour, in case one comes again, and go
        # through all of them at each write; to no use, since it forgets them when it dies.
        return f"mongodb://127.0.0.1:{self._port}/?retryWrites=false&connectTimeoutMS={_LOOK}"

    def program(self) -> Program:
        """Return the program.

        Raises:
            MissingError: it is not installed.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        # It looks for one of its user's or of the whole system otherwise.
        configuration = self._home.with_suffix(".toml")
        configuration.write_text(_CONFIGURATION, encoding="utf-8")
        return Program(
            name="database",
            arguments=(
                *(word for command in _BEHIND if shutil.which(command[0]) for word in command),
                find_server(),
                *("--config", str(configuration), "--storage-path", str(self._home)),
                *("--host", "127.0.0.1", "--port", str(self._port)),
                # Without it, the last acknowledged writes are lost when the process dies.
                "--sync-on-commit",
                # Nobody follows its changes, which it would keep a second time.
                "--standalone",
                *("--cache-size", _CACHE, "--log-level", "WARNING"),
            ),
            tier=2,
        )


def find_server() -> str:
    """Return the path of the server's program.

    Raises:
        MissingError: it is not installed.
    """
    beside = Path(sys.executable).parent / "secantusd-py"
    found = str(beside) if beside.is_file() else shutil.which("secantusd-py")
    if found is None:
        raise MissingError(
            "The embedded database is not installed; install it: pip install 'mlhub[local]', "
            "or set MLHUB_MONGODB_URL to a server of yours."
        )
    return found
