"""KServe's SDK, LitServe and BentoML, each as its documentation has it for a small model."""

from functools import partial
from pathlib import Path

from benchmarks import digits
from benchmarks.contestants import titles
from benchmarks.contestants.digits_server import SERVERS, Command, DigitsServer, Kind
from benchmarks.contestants.environment import Environment
from benchmarks.workspace import Workspace


def _script(name: str, option: str) -> Command:
    def command(environment: Environment, model: Path, port: int) -> list[str]:
        return [str(environment.python), str(SERVERS / name), str(model), str(port), option]

    return command


def _bentoml(environment: Environment, model: Path, port: int) -> list[str]:
    del model
    return [
        *(environment.program("bentoml"), "serve", "bentoml_digits:Digits", "--working-dir", str(SERVERS)),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]


def others(workspace: Workspace) -> list[DigitsServer]:
    """Return all of them."""
    return [DigitsServer(workspace, kind) for kind in _kinds()]


def _kinds() -> list[Kind]:
    pixels = digits.trained().digit.pixels
    kserve = partial(
        Kind,
        environment="kserve",
        packages=("kserve", "fastapi"),
        path="/v1/models/digits:predict",
        body={"instances": [pixels]},
    )
    litserve = partial(
        Kind,
        environment="litserve",
        packages=("litserve", "fastapi"),
        path="/predict",
        body={"input": pixels},
    )
    bentoml = Kind(
        name="bentoml",
        title=titles.BENTOML,
        environment="bentoml",
        packages=("bentoml",),
        command=_bentoml,
        path="/predict",
        body={"input": [pixels]},
        variables={"BENTOML_DO_NOT_TRACK": "True"},
    )
    return [
        kserve(name="kserve", title=titles.KSERVE, command=_script("kserve_digits.py", "1")),
        kserve(name="kserve-2", title=titles.KSERVE_2, command=_script("kserve_digits.py", "2")),
        litserve(name="litserve", title=titles.LITSERVE, command=_script("litserve_digits.py", "1")),
        litserve(
            name="litserve-batching",
            title=titles.LITSERVE_BATCHING,
            command=_script("litserve_digits.py", "64"),
        ),
        bentoml,
    ]
