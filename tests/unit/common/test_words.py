"""Numbers of things."""

import pytest

from mlhub.common.words import counted


@pytest.mark.parametrize(("number", "words"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages")])
def test_a_number_of_things_is_written_as_people_do(number: int, words: str) -> None:
    assert counted(number, "message") == words
    assert counted(1, "is", "are") == "1 is"
    assert counted(2, "is", "are") == "2 are"
