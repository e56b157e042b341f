"""Archives: the same files are the same bytes; what is no archive of ours is not read."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from placet.policy.files import archive
from placet.policy.files.archive import ArchiveError, pack, unpack

FILES = {"/b": b"2", "/a/b.rego": b"package a\n", "/a/\udcff.rego": b"", "/" + "n" * 300: b"long"}


def tar(*members: tarfile.TarInfo) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as made:
        for member in members:
            made.addfile(member, io.BytesIO(b"x" * member.size))
    return held.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, size
    return made


def test_what_was_packed_is_unpacked() -> None:
    assert unpack(pack(FILES)) == FILES


def test_the_same_files_are_the_same_bytes_in_any_order() -> None:
    assert pack(FILES) == pack(dict(reversed(FILES.items())))
    assert pack(FILES) != pack({**FILES, "/b": b"3"})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        pack(FILES)[:-9],
        gzip.compress(b"no tar, but as long as a block of one" * 20, mtime=0),
        tar(member("a"), member("a")),
        tar(member("a", tarfile.SYMTYPE)),
        tar(member("a", tarfile.DIRTYPE)),
    ],
    ids=["empty", "text", "cut off", "no tar", "twice", "link", "folder"],  # gzip's time would differ between workers
)
def test_what_is_none_is_not_read(content: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(content)


def test_what_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FILES_BYTES_MAX", 10_240)
    unpack(pack({"a": b"x" * 1_000}))
    with pytest.raises(ArchiveError, match="more than 10240"):
        unpack(pack({"a": b"x" * 20_000}))
