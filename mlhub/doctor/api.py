"""The API, as a client meets it."""

from collections.abc import Iterator

import requests

from mlhub.common.addresses import local_url
from mlhub.common.settings import Settings
from mlhub.doctor.finding import Finding, bad, good, warning


def look_at_api(settings: Settings) -> Iterator[Finding]:
    """Ask it whether it is ready."""
    url = local_url(settings.host, settings.port)
    try:
        answer = requests.get(f"{url}/health/ready", timeout=10)
        body = answer.json()
        detail = "" if answer.ok and body["ready"] is True else str(body["detail"])
    except requests.ConnectionError:
        yield warning(
            "api",
            f"Nothing answers at {url}.",
            "Start it with 'mlhub api', unless it runs on another machine.",
        )
    except (requests.RequestException, ValueError, KeyError, TypeError):
        yield bad("api", f"What answers at {url} is no hub.", "Choose another port with MLHUB_PORT.")
    else:
        if detail:
            yield bad("api", detail, "See to the parts that it names.")
        else:
            yield good("api", f"{url} is ready.")
