"""Pack files into a reproducible tar.gz archive, and unpack one.

The same files always give the same bytes, so a stored archive can be compared with a new one byte by byte. Policy
bundles and the copies of served policy are such archives.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES_BYTES_MAX: Final = 256 * 1024 * 1024
"""Largest uncompressed archive that `unpack` reads: far more than a policy, far less than memory."""
_COMPRESSION: Final = 6
_MODE: Final = 0o600


class ArchiveError(ValueError):
    """The bytes are not an archive that Placet would write. The text completes a sentence about the archive."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return a tar.gz of the files, sorted by name, without times and owners."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), _MODE
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), _COMPRESSION, mtime=0)


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the files of an archive by name.

    Raises ArchiveError when the bytes are not a tar.gz, when it holds more than FILES_BYTES_MAX, a name twice, or
    anything but regular files.
    """
    try:
        with gzip.open(io.BytesIO(content)) as compressed:
            tar = compressed.read(FILES_BYTES_MAX + 1)
        if len(tar) > FILES_BYTES_MAX:
            raise ArchiveError(f"holds more than {FILES_BYTES_MAX} bytes")
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", errors="surrogateescape") as archive:
            return _regular_files(archive)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ArchiveError(f"is not a tar.gz: {error}") from error


def _regular_files(archive: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for member in archive:
        file = archive.extractfile(member) if member.isreg() else None
        if file is None:
            raise ArchiveError(f"holds {member.name!a}, which is not a regular file")
        if member.name in files:
            raise ArchiveError(f"holds {member.name!a} twice")
        files[member.name] = file.read()
    return files
