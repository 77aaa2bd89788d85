"""What `mlhub up` tells its user."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console

from mlhub.client import Client
from mlhub.local import sample
from mlhub.local.instance import Instance
from mlhub.local.lifecycle import Started


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is going on: a line that changes on a terminal, plain lines elsewhere."""
    console = Console(stderr=True, highlight=False)
    if quiet:
        yield lambda _text: None
    elif console.is_terminal:
        with console.status("looking around") as status:
            yield lambda text: status.update(status=text)
    else:
        yield lambda text: console.print(text, soft_wrap=True)


def try_sample(url: str, token: str | None, say: Callable[[str], None]) -> int:
    """Publish the sample model when it is not there, and predict with it; return the digit."""
    with Client(url, token=token) as client:
        say(f"publishing the sample model '{sample.NAME}'")
        sample.publish(client)
        say("predicting a digit that the model has never seen")
        return sample.predict(client)


def show(instance: Instance, started: Started, answer: int, *, token: str | None, as_json: bool) -> None:
    """Print where everything is, and a call to paste."""
    call = curl(started.url, with_token=token is not None)
    places = {
        "api": started.url,
        "rabbitmq": started.management_url,
        "rabbitmq_user": "mlhub" if started.management_url else None,
        "rabbitmq_password": str(instance.broker / "password") if started.management_url else None,
        "data": str(instance.folder),
        "logs": str(instance.logs),
        "sample": call,
    }
    if as_json:
        sys.stdout.write(msgspec.json.encode(places).decode() + "\n")
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold green]The hub is up[/]; its sample model knows a {answer} when it sees one.")
    console.print(f"  API       {started.url}")
    if started.management_url:
        login = f"(user mlhub, password in {instance.broker / 'password'})"
        console.print(f"  RabbitMQ  {started.management_url} {login}")
    console.print(f"  logs      {instance.logs}")
    console.print("Try it:")
    # Plain, so that it can be pasted whatever the width of the terminal.
    sys.stdout.write(f"{call}\n")


def curl(url: str, *, with_token: bool) -> str:
    """Return a command that predicts the held-out digit."""
    pixels = [int(value) for value in sample.held_out().pixels]
    body = msgspec.json.encode({"input": pixels}).decode()
    login = ' -H "Authorization: Bearer $MLHUB_TOKEN"' if with_token else ""
    address = f"{url}/model/{sample.NAME}/predict"
    return f"curl{login} -H 'content-type: application/json' -d {shlex.quote(body)} {address}"
