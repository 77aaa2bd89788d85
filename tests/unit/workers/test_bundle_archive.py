"""Unpacking: what good archives become, and that hostile ones leave nothing."""

import gzip
import io
import os
import random
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlhub.common.errors import UnacceptableError
from mlhub.workers.bundle.archive import UnpackLimits, unpack

LIMITS = UnpackLimits(max_bytes=200 * 1024 * 1024, max_files=100, max_ratio=200)
NOISE = random.Random(7).randbytes(300_000)
GOOD = {"model.skops": NOISE, "sub/labels.txt": b"a\nb\n", "empty": b""}

Maker = Callable[[Iterable[tuple[str, bytes]]], bytes]


def tar(members: Iterable[tuple[str, bytes]], **options: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def tar_gz(members: Iterable[tuple[str, bytes]]) -> bytes:
    return gzip.compress(tar(members))


def zipped(members: Iterable[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            # Set afterwards, since ZipInfo cuts a name at its first NUL.
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return file.getvalue()


MAKERS: dict[str, Maker] = {"tar": tar, "tar.gz": tar_gz, "zip": zipped}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Maker:
    return MAKERS[request.param]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def refusal(archive: bytes, target: Path, limits: UnpackLimits = LIMITS) -> UnacceptableError:
    """Return the error, having seen that nothing stays and nothing went elsewhere."""
    around = sorted(path for path in target.parent.rglob("*"))
    with pytest.raises(UnacceptableError) as caught:
        unpack(io.BytesIO(archive), target, limits)
    assert list(target.iterdir()) == []
    assert sorted(path for path in target.parent.rglob("*")) == around
    assert str(target.parent) not in caught.value.detail
    assert caught.value.detail.isprintable()
    return caught.value


def one(info: tarfile.TarInfo, content: bytes = b"") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def test_files_come_out_as_they_went_in(make: Maker, target: Path) -> None:
    unpack(io.BytesIO(make(GOOD.items())), target, LIMITS)
    assert contents(target) == GOOD


def test_folders_may_be_named_before_and_after_their_files(target: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in (".", "./m", "./m/variables"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("./m/variables/empty"))
        info = tarfile.TarInfo("./m")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    unpack(io.BytesIO(file.getvalue()), target, LIMITS)
    assert contents(target) == {"m/variables/empty": b""}


def test_folders_of_a_zip_come_out(target: Path) -> None:
    unpack(io.BytesIO(zipped([("m/", b""), ("m/empty/", b""), ("m/file", b"x")])), target, LIMITS)
    assert contents(target) == {"m/file": b"x"}
    assert (target / "m/empty").is_dir()


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tar_is_read(style: int, target: Path) -> None:
    long = "folder/" + "n" * 90 + "/" + "m" * 60
    unpack(io.BytesIO(tar([(long, b"x")], format=style)), target, LIMITS)
    assert contents(target) == {long: b"x"}


def test_what_the_command_tar_makes_is_read(tmp_path: Path, target: Path) -> None:
    for name, content in GOOD.items():
        path = tmp_path / "made" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    archive = tmp_path / "made.tar.gz"
    subprocess.run(["tar", "czf", archive, "-C", tmp_path / "made", "."], check=True)  # noqa: S607 (as users do)
    with archive.open("rb") as file:
        unpack(file, target, LIMITS)
    assert contents(target) == GOOD


def test_names_of_any_language_are_kept(make: Maker, target: Path) -> None:
    unpack(io.BytesIO(make([("模型/größe.txt", b"x")])), target, LIMITS)
    assert contents(target) == {"模型/größe.txt": b"x"}


def test_modes_owners_and_times_are_not_taken_over(target: Path) -> None:
    info = tarfile.TarInfo("program")
    info.mode = 0o6777
    info.uid = 12345
    unpack(io.BytesIO(one(info)), target, LIMITS)
    status = (target / "program").stat()
    assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111 | stat.S_IWOTH)
    assert status.st_uid == os.getuid()


@pytest.mark.parametrize("archive", [b"", b"x", b"\0" * 10240, b"PK", NOISE, b"{}" * 500])
def test_what_is_no_archive_is_refused(archive: bytes, target: Path) -> None:
    assert refusal(archive, target).code == "not_an_archive"


def test_a_gzip_file_without_a_tar_is_refused(target: Path) -> None:
    error = refusal(gzip.compress(b"just text" * 1000), target)
    assert error.code == "not_an_archive"
    assert "tar czf" in error.detail


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/etc/passwd", "absolute"),
        ("//etc/passwd", "absolute"),
        ("../x", "leads out"),
        ("a/../../x", "leads out"),
        ("a/..", "leads out"),
        ("..", "leads out"),
        ("./../x", "leads out"),
        ("a\\..\\x", "character"),
        ("new\nline", "character"),
        ("escape\x1b[31m", "character"),
        ("right\u202eleft", "character"),
        ("a" * 201, "too long"),
        ("ü" * 101, "too long"),
        ("/".join("a" * 17), "too long"),
    ],
)
def test_a_member_with_a_name_that_leads_elsewhere_is_refused(
    make: Maker, name: str, says: str, target: Path
) -> None:
    error = refusal(make([("model.skops", NOISE), (name, b"x")]), target)
    assert error.code == "unsafe_member"
    assert says in error.detail


def test_a_name_with_nul_is_refused(target: Path) -> None:
    assert refusal(zipped([("good.txt\0/../x", b"x")]), target).code == "unsafe_member"
    assert refusal(zipped([("\0", b"x")]), target).code == "unsafe_member"
    info = tarfile.TarInfo("a")
    info.pax_headers = {"path": "good.txt\0bad"}
    assert refusal(one(info), target).code == "unsafe_member"


def test_a_name_that_is_not_utf8_is_refused(target: Path) -> None:
    good = zipped([("namex.txt", b"x")])
    for archive in (
        good.replace(b"namex", b"nam\xe9x"[:5]),
        tar([("nam\udce9", b"x")], format=tarfile.GNU_FORMAT),
    ):
        error = refusal(archive, target)
        assert (error.code, "not UTF-8" in error.detail) == ("unsafe_member", True)
    flagged = zipped([("nämé.txt", b"x")]).replace("ä".encode(), b"\xff\xfe")
    assert refusal(flagged, target).code == "unsafe_member"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, says: str, target: Path) -> None:
    info = tarfile.TarInfo("model.skops")
    info.type = kind
    info.linkname = "/etc/passwd"
    error = refusal(one(info), target)
    assert error.code == "unsafe_member"
    assert f"'model.skops' is a {says}" in error.detail


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(kind: int, target: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert refusal(file.getvalue(), target).code == "unsafe_member"


@pytest.mark.parametrize("pair", [("a", "a"), ("a", "./a"), ("a/b", "a//b"), ("a", "a/b"), ("a/b", "a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_place_that_is_taken_twice_is_refused(make: Maker, pair: tuple[str, str], target: Path) -> None:
    error = refusal(make([(pair[0], b"1"), (pair[1], b"2")]), target)
    assert error.code == "duplicate_member"
    assert f"'{pair[1]}'" in error.detail


def test_too_many_files_are_refused(make: Maker, target: Path) -> None:
    members = [(f"file{number}", b"") for number in range(LIMITS.max_files + 1)]
    unpack(io.BytesIO(make(members[:-1])), target, LIMITS)
    for path in target.iterdir():
        path.unlink()
    assert refusal(make(members), target).code == "too_many_files"


def test_folders_count_as_files(target: Path) -> None:
    members = [(f"folder{number}/", b"") for number in range(LIMITS.max_files + 1)]
    assert refusal(zipped(members), target).code == "too_many_files"


def test_an_encrypted_zip_is_refused(target: Path) -> None:
    archive = bytearray(zipped([("secret", b"x")]))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(mark) + offset] |= 1
    error = refusal(bytes(archive), target)
    assert error.code == "encrypted_member"
    assert "password" in error.detail


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_whose_compression_cannot_be_bounded_is_refused(compression: int, target: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    error = refusal(file.getvalue(), target)
    assert "deflate" in error.detail


def test_a_total_beyond_the_limit_is_refused(make: Maker, target: Path) -> None:
    limits = UnpackLimits(max_bytes=700_000, max_files=100, max_ratio=200)
    error = refusal(make([("a", NOISE), ("b", NOISE), ("c", NOISE)]), target, limits)
    assert error.code == "unpacks_too_large"
    assert "'c' makes it unpack to more than the 700000 bytes" in error.detail


def test_a_total_at_the_limit_is_taken(make: Maker, target: Path) -> None:
    limits = UnpackLimits(max_bytes=2 * len(NOISE), max_files=100, max_ratio=200)
    unpack(io.BytesIO(make([("a", NOISE), ("b", NOISE)])), target, limits)
    assert len(contents(target)) == 2


def test_small_files_may_be_packed_however_well(make: Maker, target: Path) -> None:
    unpack(io.BytesIO(make([("zeros", bytes(10_000_000))])), target, LIMITS)
    assert contents(target) == {"zeros": bytes(10_000_000)}


def test_a_ratio_beyond_the_limit_is_refused(target: Path) -> None:
    zeros = bytes(70_000_000)
    for make in (tar_gz, zipped):
        assert refusal(make([("zeros", zeros)]), target).code == "unpacks_too_large"


def zeros_tar_gz(size: int) -> bytes:
    """Make a gzipped tar of one file of zeros, without ever holding it."""
    info = tarfile.TarInfo("zeros")
    info.size = size
    packer = zlib.compressobj(9, wbits=31)
    piece = bytes(1024 * 1024)
    packed = [packer.compress(info.tobuf(tarfile.GNU_FORMAT))]
    packed += [packer.compress(piece) for _ in range(size // len(piece))]
    packed += [packer.compress(bytes(10240)), packer.flush()]
    return b"".join(packed)


def test_a_huge_file_of_zeros_is_refused_before_it_is_written(target: Path) -> None:
    limits = UnpackLimits(max_bytes=8 * 1024**3, max_files=100, max_ratio=10**9)
    # A gibibyte is made, a header that says ten of them is put before it.
    whole = gzip.decompress(zeros_tar_gz(1024 * 1024))
    info = tarfile.TarInfo("zeros")
    info.size = 10 * 1024**3
    lying = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + whole[512:])
    assert refusal(lying, target, limits).code == "unpacks_too_large"
    assert refusal(zeros_tar_gz(300 * 1024 * 1024), target).code == "unpacks_too_large"


def test_a_zip_that_lies_about_a_size_is_refused(target: Path) -> None:
    """Ten million zeros that claim to be ten bytes: what comes is not what was promised."""
    archive = zipped([("zeros", bytes(10_000_000))])
    true, false = struct.pack("<L", 10_000_000), struct.pack("<L", 10)
    assert archive.count(true) == 2
    assert refusal(archive.replace(true, false), target).code == "broken_archive"


def test_every_cut_of_an_archive_is_refused(make: Maker, target: Path) -> None:
    archive = make([("a", NOISE[:3000]), ("b", NOISE[3000:5000])])
    end = len(archive)
    if make is tar:
        # The end mark are two blocks of zeros, then padding that may be missing.
        end = len(archive.rstrip(b"\0")) // 512 * 512 + 512
    for length in {*range(600, end, 97), end - 1}:
        assert refusal(archive[:length], target).code in {"broken_archive", "not_an_archive"}, length


def test_a_flipped_bit_in_the_data_is_noticed_where_there_is_a_checksum(target: Path) -> None:
    for make in (tar_gz, zipped):
        archive = bytearray(make([("a", NOISE)]))
        archive[len(archive) // 2] ^= 0x10
        assert refusal(bytes(archive), target).code == "broken_archive"


def test_a_broken_header_in_the_middle_of_a_tar_is_no_end(target: Path) -> None:
    archive = bytearray(tar([("a", b"x" * 512), ("b", b"y")]))
    archive[1024] ^= 0xFF
    assert refusal(bytes(archive), target).code == "broken_archive"


def test_a_gzip_file_that_goes_on_after_the_tar_is_refused(target: Path) -> None:
    archive = gzip.compress(tar(GOOD.items()) + bytes(20 * 1024 * 1024))
    assert refusal(archive, target).code == "broken_archive"


def test_sparse_files_are_refused(target: Path) -> None:
    info = tarfile.TarInfo("sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    assert refusal(one(info), target).code in {"unsafe_member", "broken_archive"}
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1"}
    info.pax_headers |= {"GNU.sparse.size": str(10**12), "GNU.sparse.name": "huge"}
    error = refusal(one(info), target)
    assert error.code == "unsafe_member"
    assert "--sparse" in error.detail


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type = kind
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def with_checksum(block: bytes) -> bytes:
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


HOSTILE_HEADERS = {
    "long name": header(tarfile.GNUTYPE_LONGNAME, 8**9) + bytes(50_000_000),
    "attributes": header(tarfile.XHDTYPE, 8**9) + b"9" * 50_000_000,
    "global attributes": header(tarfile.XGLTYPE, 8**9) + b"9" * 50_000_000,
    "a chain of long names": header(tarfile.GNUTYPE_LONGNAME, 0) * 20_000,
    "a chain of attributes": (header(tarfile.XGLTYPE, 9) + b"9 a=bcde\n" + bytes(503)) * 20_000,
    "a map of holes": with_checksum(header(tarfile.GNUTYPE_SPARSE, 0)[:482] + b"\1" + bytes(29))
    + (b"00000000001\0" * 42 + b"\1" + bytes(7)) * 50_000,
}


@pytest.mark.parametrize("name", HOSTILE_HEADERS)
@pytest.mark.parametrize("packed", [False, True])
def test_endless_headers_are_refused(name: str, packed: bool, target: Path) -> None:
    archive = HOSTILE_HEADERS[name]
    error = refusal(gzip.compress(archive, 1) if packed else archive, target)
    assert error.code == "headers_too_large"


def test_an_endless_list_of_files_in_a_zip_is_refused(target: Path) -> None:
    archive = zipped([(f"{number:0200}", b"") for number in range(3000)])
    assert refusal(archive, target).code == "headers_too_large"


def test_a_negative_size_is_refused(target: Path) -> None:
    block = bytearray(header(tarfile.REGTYPE, 0))
    block[124:136] = b"\xff" * 12
    assert refusal(with_checksum(bytes(block)) + bytes(10240), target).code == "broken_archive"
    info = tarfile.TarInfo("x")
    info.pax_headers = {"size": "-512"}
    assert refusal(one(info), target).code == "broken_archive"


def test_memory_stays_flat_whatever_the_size(tmp_path: Path, target: Path) -> None:
    """A process of its own, whose peak can be read: 512 MiB go through it."""
    archive = tmp_path / "large.tar"
    with archive.open("wb") as file, tarfile.open(fileobj=file, mode="w") as made:
        info = tarfile.TarInfo("weights")
        info.size = 512 * 1024 * 1024
        with Path("/dev/zero").open("rb") as zeros:
            made.addfile(info, zeros)
    script = (
        "import sys, resource; from pathlib import Path\n"
        "from mlhub.workers.bundle.archive import UnpackLimits, unpack\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with open(sys.argv[1], 'rb') as file:\n"
        "    unpack(file, Path(sys.argv[2]), UnpackLimits(2**30, 10, 200))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, archive, target], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 32 * 1024


NAMES = st.text(
    st.one_of(
        st.sampled_from("./\\ab \0\n\u202e"), st.characters(exclude_categories=("Cs",)), st.characters()
    ),
    max_size=300,
)


@settings(max_examples=200, deadline=None)
@given(names=st.lists(NAMES, max_size=4), maker=st.sampled_from(["tar", "zip"]))
@example(names=["0/"], maker="zip")
@example(names=["0/"], maker="tar")
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_whatever_the_names_nothing_is_written_elsewhere(names: list[str], maker: str) -> None:
    try:
        archive = MAKERS[maker]((name, b"x") for name in names)
    except (UnicodeEncodeError, ValueError, zipfile.LargeZipFile):
        # No archive can have such a name.
        return
    with tempfile.TemporaryDirectory() as around:
        outer = Path(around)
        target = outer / "deep" / "target"
        target.mkdir(parents=True)
        try:
            unpack(io.BytesIO(archive), target, LIMITS)
        except UnacceptableError:
            assert list(target.iterdir()) == []
        else:
            # What ends with a slash is a folder to zip, whatever it holds.
            files = [name for name in names if maker == "tar" or not name.endswith("/")]
            assert len(contents(target)) == len(files)
        assert list(outer.iterdir()) == [target.parent]
        assert list(target.parent.iterdir()) == [target]


SEEDS = [make([("a/b", NOISE[:700]), ("c", b"x" * 2000)]) for make in MAKERS.values()] + [
    tar([("long" * 40, b"1"), ("ü", b"2")], format=style)
    for style in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
]


@settings(max_examples=400, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=12)), max_size=6
    ),
    length=st.floats(0, 1),
)
def test_whatever_is_broken_is_refused_or_unpacked(
    seed: bytes, changes: list[tuple[float, bytes]], length: float
) -> None:
    archive = bytearray(seed)
    for place, patch in changes:
        start = int(place * len(seed))
        archive[start : start + len(patch)] = patch
    with tempfile.TemporaryDirectory() as name:
        target = Path(name)
        try:
            unpack(io.BytesIO(bytes(archive[: int(length * len(archive)) + 1])), target, LIMITS)
        except UnacceptableError:
            assert list(target.iterdir()) == []


def test_a_disk_that_takes_no_more_is_not_the_bundles_fault(target: Path) -> None:
    script = (
        "import sys, io, resource; from pathlib import Path\n"
        "from mlhub.common.errors import UnavailableError\n"
        "from mlhub.workers.bundle.archive import UnpackLimits, unpack\n"
        "archive = sys.stdin.buffer.read()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    unpack(io.BytesIO(archive), Path(sys.argv[1]), UnpackLimits(2**30, 10, 200))\n"
        "except UnavailableError as error:\n"
        "    print(error.detail)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, target], input=tar(GOOD.items()), check=True, capture_output=True
    )
    assert done.stdout.startswith(b"The hub cannot unpack the bundle now")
    assert list(target.iterdir()) == []
