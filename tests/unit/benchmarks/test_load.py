"""What the load generator is sent, and what it says."""

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load import Request, json_request, parse

PRINTED = """Running 2s test @ http://127.0.0.1:8181
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
Requests/sec:   4800.00
Transfer/sec:      1.08MB

@@{"requests":9700,"seconds":2.0,"bytes":100,"p50":11.5,"p90":20.0,"p99":45.0,"longest":60.0,"refused":100,"broken":2,"late":1}
"""


def test_the_rate_counts_good_answers_only() -> None:
    assert parse(PRINTED).rate == 4800


def test_all_that_went_wrong_is_an_error() -> None:
    assert parse(PRINTED).errors == 103


def test_output_without_the_scripts_line_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="something else"):
        parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_a_posted_body_goes_with_its_length() -> None:
    wire = json_request("/model/m/predict", {"input": [1, 2]}).wire("127.0.0.1:80")
    head, body = wire.split(b"\r\n\r\n")
    assert body == b'{"input":[1,2]}'
    assert head.startswith(b"POST /model/m/predict HTTP/1.1\r\nHost: 127.0.0.1:80\r\n")
    assert b"Content-Length: 15" in head


def test_a_get_has_no_length() -> None:
    assert b"Content-Length" not in Request(method="GET", path="/models").wire("h")
