"""Whatever names an archive has: nothing is written outside, and what is taken is there as it was packed."""

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlhub.common.errors import UnacceptableError
from mlhub.workers.bundle.archive import UnpackLimits, unpack

LIMITS = UnpackLimits(max_bytes=1_000_000, max_files=50, max_ratio=200)

part = st.sampled_from(
    ["", ".", "..", "a", "b", "é", "a\u0301", "x" * 201, "\x00", "\n", "C:", "~", "-", "con", " "]
)
names = (
    st.lists(part, max_size=6).map("/".join)
    | st.text(max_size=30)
    | st.sampled_from(["/etc/passwd", "a\\..\\b"])
)


def tar(entries: list[str], kinds: list[bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number, (name, kind) in enumerate(zip(entries, kinds, strict=False)):
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            content = str(number).encode() if kind == tarfile.REGTYPE else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def zipped(entries: list[str]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number, name in enumerate(entries):
            archive.writestr(zipfile.ZipInfo(name), str(number))
    return target.getvalue()


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        outside = Path(name)
        target = outside / "target"
        target.mkdir()
        try:
            unpack(io.BytesIO(data), target, LIMITS)
        except UnacceptableError as error:
            assert list(target.iterdir()) == []
            assert name not in error.detail
            assert error.detail.isprintable()
        assert [path.name for path in outside.iterdir()] == ["target"]
        for path in target.rglob("*"):
            assert not path.is_symlink()
            assert path.is_dir() or path.read_bytes().isdigit()


kinds = st.sampled_from(
    [tarfile.REGTYPE] * 6 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)


@settings(deadline=None)
@given(st.lists(names, min_size=1, max_size=5), st.lists(kinds, min_size=5, max_size=5))
def test_tars_of_any_names_stay_inside(entries: list[str], types: list[bytes]) -> None:
    try:
        data = tar(entries, types)
    except (UnicodeError, ValueError):
        # Not even the library that packs can write such a name.
        return
    check(data)


# What stands behind a zero byte is cut off by the library that packs, so that names may meet after all.
@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(deadline=None)
@given(st.lists(names.filter(bool), min_size=1, max_size=5, unique=True))
def test_zips_of_any_names_stay_inside(entries: list[str]) -> None:
    try:
        data = zipped(entries)
    except (UnicodeError, ValueError):
        return
    check(data)
