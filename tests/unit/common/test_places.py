"""Each setting that is wrong is refused when a process starts, in one sentence that names it and shows no secret."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlhub.common.backend import PROTOCOLS
from mlhub.common.settings import Settings, SettingsError, load_settings
from mlhub.workers.adapters import ADAPTERS

SECRETS: Final = ("broker_url", "management_url", "mongodb_url", "token", "s3_secret", "webhook_secret")
TEXT: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@contextmanager
def variables(**given: str) -> Iterator[None]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("MLHUB_")}
    with patch.dict(
        os.environ, others | {f"MLHUB_{name.upper()}": value for name, value in given.items()}, clear=True
    ):
        yield


def refusal(**given: str) -> str:
    """Return what is said of some settings; nothing when they are right."""
    with variables(**given):
        try:
            load_settings()
        except SettingsError as error:
            return error.detail
    return ""


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("bundles", "s3://", "s3://bucket/prefix"),
        ("bundles", "s3:///prefix", "s3://bucket/prefix"),
        ("bundles", "s3:/bucket", "two slashes"),
        ("bundles", "", "gridfs"),
        ("bundles", "gridfs://", "gridfs"),
        ("bundles", "GridFS", "'gridfs'"),
        ("bundles", "file:///srv/bundles", "without 'file://'"),
        ("bundles", "https://host/bundles", "a folder"),
        ("bundles", "nonsense://bucket/prefix", "s3://bucket/prefix"),
        ("broker_url", "redis://127.0.0.1", "amqp://user:password@host:5672/vhost"),
        ("broker_url", "amqp://", "amqp://"),
        ("broker_url", "amqp:///vhost", "amqp://"),
        ("broker_url", "amqp://host:port", "amqp://"),
        ("broker_url", "amqp://one//;two", "amqp://"),
        ("mongodb_url", "http://127.0.0.1:27017", "mongodb://user:password@host:27017/"),
        ("mongodb_url", "mongodb://", "mongodb://"),
        ("mongodb_url", "mongodb://a,,b/", "mongodb://"),
        ("mongodb_url", "mongodb://hub:se@cret@x", "%-escapes"),
        ("database", "a b", "a name such as mlhub"),
        ("database", "", "a name such as mlhub"),
        ("management_url", "127.0.0.1:15672", "http://host:8080"),
        ("flower_url", "ftp://host", "http://host:8080"),
        ("s3_endpoint", "minio:9000", "http://host:8080"),
        ("host", "http://127.0.0.1", "127.0.0.1"),
        ("host", "", "127.0.0.1"),
        ("token", "", "leave the setting out"),
        ("token", "hush\n", "without blanks"),
        ("frameworks", '["caffe"]', "'sklearn'"),
        ("frameworks", "sklearn", '["sklearn", "keras"]'),
        ("port", "65536", "65535"),
        ("port", "-1", "0"),
        ("api_processes", "0", "greater than 0"),
        ("max_wait", "0", "greater than 0"),
        ("max_wait", "inf", "finite"),
        ("lease", "nan", "finite"),
        ("prediction_ttl", "1e300", "less than"),
        ("bulk_slots", str(2**63), "less than"),
        ("scale_interval", "9", "less than"),
        ("log_level", "loud", "'DEBUG'"),
        ("pools", '{"predict": {"minimum": 3, "maximum": 2}}', "'maximum'"),
        ("pools", '{"predict": {"minimum": -1}}', "greater than or equal to 0"),
        ("pools", '{"predict": {"age": Infinity}}', "finite"),
        ("pools", "{", '{"predict": {"maximum": 4}}'),
        ("backends", "[" * 100_000, "deep"),
        ("backends", '{"a b": {}}', "letters"),
        ("backends", '{"a": {"protocol": "grpc"}}', "oip, mlserver, external, tfaas"),
        ("backends", '{"a": {"adresses": []}}', "did you mean 'addresses'"),
        ("backends", '{"a": {"addresses": ["model:8080"]}}', "http://127.0.0.1:8191"),
        ("backends", '{"a": {"slots": 0}}', "greater than 0"),
        ("backends", '{"a": {"timeout": 1e9}}', "less than"),
        ("backends", '{"a": {"pools": {"jobs": {"maximum": 0}}}}', "greater than or equal to 1"),
        ("backends", '{"a": {"types": ["Keras"]}, "b": {"types": ["Keras"]}}', "take Keras from the 'types'"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write(name: str, value: str, instead: str) -> None:
    said = refusal(**{name: value})
    assert said.count("\n") == 0
    assert f"MLHUB_{name.upper()} " in said or "deep" in said
    assert instead in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bundles", "/srv/bundles"),
        ("bundles", "bundles"),
        ("bundles", "gridfs"),
        ("bundles", "s3://bucket"),
        ("bundles", "gs://bucket/prefix"),
        ("broker_url", "amqps://hub:pa%2Fss@rabbit.example/mlhub"),
        ("broker_url", "amqp://one//;amqp://two:5673//"),
        ("mongodb_url", "mongodb+srv://hub:pa%40ss@cluster.example/?retryWrites=true"),
        ("mongodb_url", "mongodb://[::1]:27017,b:27018/db?replicaSet=rs"),
        ("management_url", "https://name:password@rabbit.example:15671"),
        ("host", "::1"),
        ("token", "s3cret-+/="),
        ("token", "a token's value"),
    ],
)
def test_what_is_right_is_taken(name: str, value: str) -> None:
    assert refusal(**{name: value}) == ""


@given(name=st.sampled_from(sorted(Settings.model_fields)), value=TEXT | JSON.map(json.dumps))
@example(name="port", value="1_0")
@example(name="webhook_private", value="[]")
def test_any_value_is_taken_or_refused_in_one_sentence(name: str, value: str) -> None:
    said = refusal(**{name: value})
    assert said == "" or (f"MLHUB_{name.upper()} " in said or "nested" in said)
    assert said.splitlines() in ([], [said])


@given(name=st.sampled_from(SECRETS), value=TEXT)
def test_no_refusal_shows_a_secret(name: str, value: str) -> None:
    assert "sesame" not in refusal(**{name: f"{value}sesame{value}"})


@given(
    backend=st.dictionaries(st.sampled_from(["types", "addresses", "pools", "options", "slots", "x"]), JSON)
)
def test_any_backend_is_taken_or_refused_in_one_sentence(backend: dict[str, Any]) -> None:
    said = refusal(backends=json.dumps({"mine": backend}))
    assert said == "" or "MLHUB_BACKENDS " in said
    if not said:
        with variables(backends=json.dumps({"mine": backend})):
            read = load_settings().backends["mine"]
        again = json.dumps({"mine": read.model_dump(mode="json")})
        with variables(backends=again):
            assert load_settings().backends["mine"] == read


@given(content=st.binary(max_size=60) | TEXT.map(str.encode))
@example(content=b"\xff")
@example(content=b"PORT = 1")
@example(content=b"[backends.a.b]")
def test_any_file_is_taken_or_refused_in_one_sentence(content: bytes, tmp_path_factory: Any) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content)
    said = refusal(config=str(file))
    assert said == "" or "MLHUB_" in said
    assert "\n" not in said


def test_each_protocol_that_may_be_named_has_an_adapter() -> None:
    assert set(PROTOCOLS) == set(ADAPTERS)
