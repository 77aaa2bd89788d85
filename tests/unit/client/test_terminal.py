"""What is said on a terminal when something goes wrong."""

from typing import Any

import pytest

from mlhub.client.commands.terminal import connect, printable
from mlhub.common.errors import MLHubError


def test_a_missing_token_says_how_to_give_it(script: Any, reply: Any) -> None:
    script.answer(reply({"detail": "Needs a token."}, 401))
    with pytest.raises(MLHubError, match="set MLHUB_TOKEN"), connect(script.url, None) as hub:
        hub.status()


def test_a_sentence_of_the_hub_cannot_steer_the_terminal(script: Any, reply: Any) -> None:
    script.answer(reply({"detail": "No.\x1b]0;title\x07"}, 404))
    with pytest.raises(MLHubError) as caught, connect(script.url, None) as hub:
        hub.status()
    assert str(caught.value) == "No.\ufffd]0;title\ufffd"
    assert printable("ä\n語") == "ä\n語"


def test_a_file_that_cannot_be_opened_is_named(script: Any) -> None:
    with pytest.raises(MLHubError, match=r"^/no/such/file: No such file or directory\.$"):  # noqa: SIM117
        with connect(script.url, None):
            open("/no/such/file")  # noqa: SIM115, PTH123 - it fails
