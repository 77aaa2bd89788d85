"""The sample model."""

import io
import tarfile

from skops.io import get_untrusted_types, loads

from mlhub.local.sample import train


def test_the_sample_knows_most_digits_that_it_has_not_seen() -> None:
    assert train().accuracy > 0.95


def test_its_bundle_holds_a_model_that_needs_no_trust_and_knows_the_digit() -> None:
    sample = train()
    with tarfile.open(fileobj=io.BytesIO(sample.bundle)) as archive:
        member = archive.extractfile("digits/model.skops")
        assert member is not None
        content = member.read()
    assert get_untrusted_types(data=content) == []
    assert loads(content).predict([sample.digit.pixels]) == [sample.digit.value]
