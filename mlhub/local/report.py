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
from mlhub.local.program import Plan
from mlhub.local.rabbitmq import RabbitNode, password_file


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is going on: a line that changes on a terminal, plain lines elsewhere."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if quiet:
        yield lambda _text: None
    elif console.is_terminal:
        with console.status("looking around") as status:
            yield lambda text: status.update(status=text)
    else:
        yield console.print


def offer_sample(plan: Plan, token: str | None, say: Callable[[str], None]) -> sample.Digit | None:
    """Publish the sample model when it is not there, and predict with it.

    Returns:
        The digit that was predicted; nothing when this hub has no sample.
    """
    if not plan.samples:
        return None
    with Client(plan.url, token=token) as client:
        say(f"publishing the sample model '{sample.NAME}'")
        digit = sample.offer(client)
        if digit is not None:
            say("predicting a digit that the sample model has never seen")
            sample.check(client, digit)
        return digit


def show(
    instance: Instance, started: Started, digit: sample.Digit | None, token: str | None, *, as_json: bool
) -> None:
    """Print where everything is, and a call to paste."""
    plan = started.plan
    call = curl(plan.url, digit, with_token=token is not None) if digit is not None else None
    if as_json:
        places = {
            "api": plan.url,
            "monitor": f"{plan.url}/monitor",
            "rabbitmq": plan.management_url,
            "flower": plan.environment.get("MLHUB_FLOWER_URL"),
            "data": str(instance.folder),
            "logs": str(instance.logs),
            "sample": call,
            "started": started.fresh,
            "missing": started.missing,
        }
        sys.stdout.write(msgspec.json.encode(places).decode() + "\n")
        sys.stdout.flush()
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        "[bold green]The hub is up.[/]" if started.fresh else "[bold green]The hub was up already.[/]"
    )
    # Plain from here on, so that it can be pasted whatever it holds.
    lines = [f"  API       {plan.url}", f"  Monitor   {plan.url}/monitor"]
    if "MLHUB_FLOWER_URL" in plan.environment:
        lines.append(f"  Flower    {plan.environment['MLHUB_FLOWER_URL']}")
    if plan.management_url:
        password = password_file(instance.broker)
        lines.append(f"  RabbitMQ  {plan.management_url} (user {RabbitNode.user}, password in {password})")
    lines.append(f"  Logs      {instance.logs}")
    if digit is not None:
        lines += [f"The sample model '{sample.NAME}' knows this {digit.value} when it sees it:", str(call)]
    if started.missing:
        names = ", ".join(started.missing)
        lines.append(f"Installed, but not served yet: {names}. They are after 'mlhub down' and 'mlhub up'.")
    sys.stdout.write("\n".join(lines) + "\n")
    # In the foreground there is no end at which a pipe would get it.
    sys.stdout.flush()


def curl(url: str, digit: sample.Digit, *, with_token: bool) -> str:
    """Return a command that predicts a digit."""
    body = msgspec.json.encode({"input": digit.pixels}).decode()
    login = ' -H "Authorization: Bearer $MLHUB_TOKEN"' if with_token else ""
    address = f"{url}/model/{sample.NAME}/predict"
    return f"curl{login} -H 'content-type: application/json' -d {shlex.quote(body)} {address}"
