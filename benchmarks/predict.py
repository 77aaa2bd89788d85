"""Predictions through the hub, and straight to its own model server, side by side in one run.

One row of 64 features a request, the digits model, all parts on this machine. Rounds are interleaved, so that
a change of the machine's speed meets all of them alike. Prints a Markdown table of medians.
"""

import argparse
import platform
import statistics

from benchmarks.hub import RunningHub, running_hub
from benchmarks.wrk import Measured, load
from mlhub.client import Client
from mlhub.local import processes
from mlhub.local.sample import NAME

CLIENTS = (1, 16, 64, 256)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind")
    options = parser.parse_args()
    with running_hub() as hub:
        targets = _targets(hub)
        results: dict[tuple[str, int], list[Measured]] = {}
        for url, body in targets.values():
            load(url, body, 16, 2)  # warm
        for number in range(options.rounds):
            for clients in CLIENTS:
                for name, (url, body) in targets.items():
                    measured = load(url, body, clients, options.seconds)
                    results.setdefault((name, clients), []).append(measured)
            print(f"round {number + 1} of {options.rounds}", flush=True)
    _print(results, list(targets))


def _targets(hub: RunningHub) -> dict[str, tuple[str, object]]:
    with Client(hub.url) as client:
        pixels = client.model(NAME).meta["held_out"]["pixels"]
    (deployment,) = (hub.folder / "models" / NAME).iterdir()
    port = _server_port(hub)
    infer = f"http://127.0.0.1:{port}/v2/models/{NAME}/versions/{deployment.name}/infer"
    tensor = {"name": "input", "datatype": "FP64", "shape": [1, 64], "data": pixels}
    return {
        "hub": (f"{hub.url}/model/{NAME}/predict", {"input": pixels}),
        "own server directly": (infer, {"inputs": [tensor]}),
    }


def _server_port(hub: RunningHub) -> int:
    for process in processes.find(hub.folder):
        line = process.cmdline()
        if "serve" in line:
            return int(line[line.index("--port") + 1])
    raise RuntimeError("The hub runs no model server.")


def _print(results: dict[tuple[str, int], list[Measured]], names: list[str]) -> None:
    print(f"\n{platform.platform()}, Python {platform.python_version()}\n")
    print("| clients | path | requests/s (min to max) | p50 ms | p99 ms | errors |")
    print("|---|---|---|---|---|---|")
    for clients in CLIENTS:
        for name in names:
            runs = results[name, clients]
            rates = [run.rate for run in runs]
            p50, p99 = (statistics.median(getattr(run, field) for run in runs) for field in ("p50", "p99"))
            errors = sum(run.errors for run in runs)
            spread = f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
            print(f"| {clients} | {name} | {spread} | {p50:.2f} | {p99:.2f} | {errors} |")


if __name__ == "__main__":
    main()
