"""Names on a TFaaS server: only what it accepts, and never one for two versions."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlhub.common.errors import BackendRefusedError
from mlhub.common.names import PATTERN
from mlhub.workers.adapters.tfaas import names

NAMES = st.from_regex(re.compile(PATTERN), fullmatch=True).filter(lambda name: len(name) < 50)


@given(NAMES, NAMES)
def test_every_version_has_a_name_of_its_own_that_can_be_read_back(model: str, deployment: str) -> None:
    name = names.write(model, deployment)
    assert re.fullmatch("[a-zA-Z0-9_]+", name)
    assert names.read(name) == (model, deployment)


@pytest.mark.parametrize("foreign", ["", "luca", "my_model", "a_v", "_v1", "a_v1_v2", "a_xv1", "a_", "a_v1_"])
def test_names_of_others_are_nobodys(foreign: str) -> None:
    assert names.read(foreign) is None


def test_names_that_are_too_long_for_a_folder_are_refused() -> None:
    with pytest.raises(BackendRefusedError, match="too long"):
        names.write("-" * 128, "1-aaaaaaaa")
