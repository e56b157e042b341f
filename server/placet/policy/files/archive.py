"""Files in one archive whose bytes follow from the files alone, so that a copy can be compared with the original."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES_BYTES_MAX: Final = 256 * 1024 * 1024
"""What one archive may hold when it is read back: far more than policy is, far less than memory."""
_COMPRESSION: Final = 6
_MODE: Final = 0o600


class ArchiveError(ValueError):
    """The bytes are no archive that Placet would write."""


def packed(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz of the files, in the order of their names, without times and owners."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), _MODE
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), _COMPRESSION, mtime=0)


def unpacked(content: bytes) -> dict[str, bytes]:
    """The files of an archive. ArchiveError for anything but plain files, each once, FILES_BYTES_MAX in all."""
    try:
        with gzip.open(io.BytesIO(content)) as compressed:
            tar = compressed.read(FILES_BYTES_MAX + 1)
        if len(tar) > FILES_BYTES_MAX:
            raise ArchiveError(f"holds more than {FILES_BYTES_MAX} bytes")
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", errors="surrogateescape") as archive:
            return _files(archive)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ArchiveError(f"is no tar.gz: {error}") from error


def _files(archive: tarfile.TarFile) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for member in archive:
        file = archive.extractfile(member) if member.isreg() else None
        if file is None or member.name in found:
            raise ArchiveError(f"{member.name!a} is no plain file, or stands there twice")
        found[member.name] = file.read()
    return found
