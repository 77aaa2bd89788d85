"""The folder of an instance, and the ports it keeps."""

import socket
import stat
from pathlib import Path

import pytest

from mlhub.local.errors import InstanceError
from mlhub.local.instance import Instance
from mlhub.local.ports import free_ports, is_free


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    instance = Instance(tmp_path / "hub")
    instance.prepare()
    return instance


def test_only_its_owner_may_look_into_the_folder(instance: Instance) -> None:
    assert stat.S_IMODE(instance.folder.stat().st_mode) == 0o700


def test_it_is_the_same_instance_however_one_comes_to_its_folder(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert Instance(link / "x" / ".." / "hub").folder == Instance(tmp_path / "hub").folder


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstanceError, match="file/hub cannot be used for data: Not a directory"):
        Instance(tmp_path / "file" / "hub").prepare()


def test_ports_stay_from_one_start_to_the_next(instance: Instance) -> None:
    first = instance.choose_ports(["a", "b"])
    assert len(set(first.values())) == 2
    assert instance.choose_ports(["b", "a"]) == first


def test_a_port_that_somebody_took_is_chosen_again_and_the_others_stay(instance: Instance) -> None:
    first = instance.choose_ports(["a", "b"])
    with socket.create_server(("127.0.0.1", first["a"])):
        second = instance.choose_ports(["a", "b"])
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


def test_ports_of_parts_that_do_not_start_this_time_are_remembered(instance: Instance) -> None:
    first = instance.choose_ports(["a", "b"])
    instance.choose_ports(["b"])
    assert instance.choose_ports(["a", "b"]) == first


def test_a_damaged_record_of_ports_does_no_harm(instance: Instance) -> None:
    (instance.folder / "ports.json").write_text("{")
    assert set(instance.choose_ports(["a"])) == {"a"}


def test_many_ports_are_all_different() -> None:
    ports = free_ports(map(str, range(100)), {})
    assert len(set(ports.values())) == 100


def test_sockets_of_a_folder_deep_down_get_a_short_path_of_their_owner_only(tmp_path: Path) -> None:
    deep = Instance(tmp_path / ("x" * 100))
    deep.prepare()
    folder = deep.socket_folder()
    try:
        assert len(str(folder)) < 80
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder == deep.socket_folder()
    finally:
        folder.rmdir()


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_free("127.0.0.1", listener.getsockname()[1])
    assert is_free("127.0.0.1", 0)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(InstanceError, match=f"{host} is no address of this machine"):
        is_free(host, 8181)
