"""Logs of bounded size."""

from pathlib import Path

from mlhub.local.logfile import LogFile, rotate


def test_pieces_follow_each_other_also_when_they_split_a_character(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    raw = "größe\n".encode()
    log({"data": raw[:3]})
    log({"data": raw[3:]})
    log.close()
    assert (tmp_path / "a.log").read_text() == "größe\n"


def test_a_full_file_is_put_aside_and_four_files_are_kept_in_all(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", size=10)
    for number in range(6):
        log({"data": b"%d-------\n" % number})
    log.close()
    names = ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [(tmp_path / name).read_text()[0] for name in names] == ["5", "4", "3", "2"]


def test_a_piece_larger_than_a_file_is_kept_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", size=10)
    log({"data": b"x" * 100})
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"x" * 100


def test_it_goes_on_after_it_was_closed(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    log({"data": b"one "})
    log.close()
    log.open()
    log({"data": b"two"})
    log.close()
    assert (tmp_path / "a.log").read_text() == "one two"


def test_nothing_is_put_aside_where_nothing_is(tmp_path: Path) -> None:
    rotate(tmp_path / "a.log")
    assert list(tmp_path.iterdir()) == []
