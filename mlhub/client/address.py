"""Addresses: of the hub, of its models, and of the next page of a list."""

from urllib.parse import quote, urljoin, urlsplit

from mlhub.client.errors import HubError
from mlhub.common import names
from mlhub.common.errors import UnacceptableError


def base_url(text: str) -> str:
    """Return the base address that `text` stands for; `host:port` is enough.

    Raises:
        HubError: it is none.
    """
    url = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise HubError(
            f"{text!r} is not the address of a hub; it looks like http://127.0.0.1:8181.", code="bad_url"
        )
    return url.rstrip("/")


def model_path(name: str, *rest: str) -> str:
    """Return the path of a model, or of something below it.

    Raises:
        HubError: no model can have this name.
    """
    try:
        names.check_model(name)
    except UnacceptableError as error:
        # Not sent: as a part of an address it could mean something else.
        raise HubError(error.detail, code=error.code) from None
    return "/".join(("/model", name, *rest))


def version_path(name: str, version: str, *rest: str) -> str:
    """Return the path of a version; `latest` is one.

    Raises:
        HubError: no model or version can have such a name.
    """
    try:
        if version != names.LATEST:
            names.check_version(version)
    except UnacceptableError as error:
        raise HubError(error.detail, code=error.code) from None
    return model_path(name, "versions", version, *rest)


def prediction_path(identity: str, *rest: str) -> str:
    """Return the path of an asynchronous prediction."""
    if identity.strip(".") == "":
        raise HubError(f"{identity!r} is not the id of a prediction.", code="prediction_not_found")
    return "/".join(("/predictions", quote(identity, safe=""), *rest))


def workers_path(backend: str) -> str:
    """Return the path of a backend's pools."""
    if backend.strip(".") == "":
        raise HubError(f"{backend!r} is not the name of a backend.", code="backend_not_found")
    return "/".join(("/backends", quote(backend, safe=""), "workers"))


def next_url(current: str, link: str) -> str:
    """Return the address of the next page, which `link` gives relative to that of the current one.

    Raises:
        HubError: it is at another hub, which must not get this one's token.
    """
    url = urljoin(current, link)
    if urlsplit(url)[:2] != urlsplit(current)[:2]:
        raise HubError(f"The hub at {current} named a next page somewhere else: {url}.", code="bad_link")
    return url
