"""Which webhooks a request may ask for."""

import falcon.testing
import pytest

from mlhub.api.webhook import Webhooks
from mlhub.common.errors import UnacceptableError
from mlhub.common.settings import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def asked(
    settings: Settings, *, query: str = "", header: str | None = None, later: bool = True
) -> str | None:
    headers = {} if header is None else {"X-Webhook": header}
    req = falcon.testing.create_asgi_req(query_string=query, headers=headers)
    webhook = Webhooks(settings).asked(req, later=later)
    return None if webhook is None else webhook.url


def test_a_webhook_is_asked_for_in_the_query_or_a_header() -> None:
    settings = Settings(webhook_secret=SECRET)
    assert asked(settings) is None
    assert asked(settings, later=False) is None
    assert asked(settings, header="https://a.example/x?y=1,2") == "https://a.example/x?y=1,2"
    assert (
        asked(settings, query="webhook=https%3A%2F%2Fa.example%2F%3Fx%3D1%2C2") == "https://a.example/?x=1,2"
    )


def test_a_hub_that_cannot_sign_says_what_its_operator_has_to_set() -> None:
    assert asked(Settings()) is None
    with pytest.raises(UnacceptableError, match="MLHUB_WEBHOOK_SECRET") as caught:
        asked(Settings(), header="https://a.example/")
    assert caught.value.code == "webhooks_off"


def test_who_waits_for_the_answer_is_not_called() -> None:
    with pytest.raises(UnacceptableError) as caught:
        asked(Settings(webhook_secret=SECRET), header="https://a.example/", later=False)
    assert caught.value.code == "webhook_needs_async"
