"""What is told while a hub stops."""

from pathlib import Path

import msgspec
import pytest

from mlhub.local.departure import Departure
from mlhub.local.instance import Instance
from mlhub.local.program import Plan, Program


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    instance = Instance(tmp_path / "hub")
    instance.prepare()
    programs = [("rabbitmq", 2), ("jobs", 1), ("predict", 1), ("api", 0)]
    plan = Plan(
        programs=tuple(Program(name=name, arguments=("true",), tier=tier) for name, tier in programs),
        environment={},
        host="127.0.0.1",
        port=1,
    )
    instance.plan.write_bytes(msgspec.json.encode(plan))
    return instance


def test_it_is_told_who_stops_now_and_once_more_when_that_takes_long(instance: Instance) -> None:
    said: list[str] = []
    departure = Departure(instance, said.append)
    for moment, left in enumerate(
        [{"rabbitmq", "jobs", "predict", "api"}, {"rabbitmq", "jobs", "predict"}, *[{"rabbitmq", "jobs"}] * 6]
    ):
        departure.told(left, float(moment))
    departure.told({"rabbitmq"}, 8.5)
    departure.told({"another"}, 9.0)
    departure.told(set(), 9.5)
    assert said == [
        "waiting for api to end",
        "waiting for jobs, predict to finish what they hold",
        "still waiting for jobs to finish what they hold",
        "waiting for rabbitmq to write down what they keep",
    ]


def test_without_a_plan_nothing_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    Departure(Instance(tmp_path), said.append).told({"api"}, 0.0)
    assert said == []
