"""Which part of the hub a process is of."""

import pytest

from benchmarks.hub import part_of


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("python -m mlhub api", "API"),
        ("python -m mlhub worker --backend sklearn --kind predict", "predict worker"),
        ("python -m mlhub worker --backend sklearn --kind jobs", "job worker"),
        ("python -m mlhub serve sklearn --port 1 --repository m", "model server"),
        ("python -m mlhub.local.watcher /d", "watcher"),
        ("/v/python /v/bin/secantusd-py --port 2", "database"),
        ("/usr/lib/erlang/erts-13.1.5/bin/beam.smp -W w", "RabbitMQ"),
    ],
)
def test_a_command_line_tells_the_part(command: str, part: str) -> None:
    assert part_of(command.split()) == part
