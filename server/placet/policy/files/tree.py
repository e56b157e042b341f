"""The policy tree on disk: which files are policy, which are its data, which tests; read once, then trusted.

    capabilities.json            what policy may call
    schemas/*.json               JSON Schema of `input`
    config/<tenant>.yaml         each tenant's agent_policy
    **/*.rego, **/*_test.rego    modules (package = folder) and their tests
    **/data.yaml, **/data.json   their data

Names that begin with a dot are not read (so a Kubernetes volume's ``..data`` is not read twice). Links are followed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.diagnostics import did_you_mean
from placet.kernel.errors import Diagnostic, PolicyInvalidError, PolicyUnreadableError
from placet.policy.files.strict_yaml import Document, read_json, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CAPABILITIES: Final = "capabilities.json"
INPUT_SCHEMA: Final = "schemas/input.json"
SCHEMAS: Final = "schemas"
CONFIG: Final = "config"
DATA_NAMES: Final = ("data.json", "data.yaml")
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""One file; larger data belongs in a service that fills `input`."""


@dataclass(frozen=True)
class PolicyTree:
    """All files of a policy tree, by their path below `root` (with ``/``), and their content."""

    root: Path
    modules: Mapping[str, bytes]
    tests: Mapping[str, bytes]
    data: Mapping[str, Document]
    tenants: Mapping[str, bytes]
    schemas: Mapping[str, bytes]
    capabilities: bytes
    raw_data: Mapping[str, bytes] = field(default_factory=dict)

    def where(self, relative: str, line: int = 0) -> str:
        """The place of a file for people: ``rego/policy/refunds/refunds.rego:12``."""
        return f"{self.root / relative}" + (f":{line}" if line else "")

    @property
    def deciding(self) -> dict[str, bytes]:
        """The files that decide, by name: all but tests."""
        files = {**self.modules, **self.raw_data, **self.tenants, **self.schemas}
        return {**files, CAPABILITIES: self.capabilities}

    @property
    def digest(self) -> str:
        """`content_digest` of the folder that it was read from."""
        return digest_of({**self.deciding, **self.tests})

    def nested_data(self) -> dict[str, Any]:
        """All data documents as one, each below its folder."""
        whole: dict[str, Any] = {}
        for name, document in self.data.items():
            value = document.value
            for part in reversed(PurePosixPath(name).parent.parts):
                value = {part: value}
            whole = _merged(whole, value)
        return whole


def _merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    both = {**left, **right}
    for key in left.keys() & right.keys():
        if isinstance(left[key], dict) and isinstance(right[key], dict):
            both[key] = _merged(left[key], right[key])
    return both


def read_tree(rego_dir: Path) -> PolicyTree:
    """Read the tree. Raises PolicyInvalidError with everything that is missing or misplaced.

    PolicyUnreadableError when something of it cannot be read, so that nobody knows what it says.
    """
    files, problems = _read_files(rego_dir)
    return tree_of(rego_dir, files, problems)


def content_digest(rego_dir: Path) -> str:
    """Digest of the names and contents of all files of a tree. PolicyUnreadableError when one cannot be read."""
    files, problems = _read_files(rego_dir)
    return digest_of({**files, **{problem.where: problem.what.encode() for problem in problems}})


def digest_of(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the names and contents, in the order of the names, in hex."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        for part in (name.encode(errors="surrogateescape"), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _read_files(rego_dir: Path) -> tuple[dict[str, bytes], list[Diagnostic]]:
    """All files that count, and what is wrong with those that are none."""
    _require_folder(rego_dir)
    problems: list[Diagnostic] = []
    unreadable: list[Diagnostic] = []
    files: dict[str, bytes] = {}
    for relative, path in _walk(rego_dir):
        try:
            files[relative] = _read(path)
        except OSError as error:
            unreadable.append(_unread(path, str(error.strerror)))
        except ValueError as error:
            problems.append(_unread(path, str(error)))
    if unreadable:
        raise PolicyUnreadableError([*unreadable, *problems])
    return files, problems


def tree_of(root: Path, files: Mapping[str, bytes], problems: Sequence[Diagnostic] = ()) -> PolicyTree:
    """The tree of files by their path below `root`. PolicyInvalidError with these problems and all that is found."""
    found = list(problems)
    sorter = _Sorter(root, found)
    for relative in sorted(files):
        sorter.put(PurePosixPath(relative), files[relative])
    if not found:
        found.extend(_missing(root, files))
    if found:
        raise PolicyInvalidError(found)
    return sorter.tree(files[CAPABILITIES])


def source_digest(rego_dir: Path) -> str:
    """Say cheaply whether the tree may have changed: a digest of names, sizes, times and inodes; nothing is read.

    Raises PolicyUnreadableError when there is no such folder, or one cannot be listed.
    """
    _require_folder(rego_dir)
    digest = hashlib.sha256()
    for relative, path in sorted(_walk(rego_dir)):
        try:
            stat = path.stat()
        except OSError as error:
            digest.update(f"{relative}\0error {error.errno}\0".encode())
        else:
            fields = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            digest.update(f"{relative}\0{fields}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def newest_change(rego_dir: Path) -> float:
    """When a file or folder of the tree was last changed, in seconds since the epoch by the file system's clock.

    Raises PolicyUnreadableError likewise.
    """
    _require_folder(rego_dir)
    places = {rego_dir, *(each for _, path in _walk(rego_dir) for each in (path, path.parent))}
    return max((_changed_at(path) for path in places), default=0.0)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:  # gone, or a link to nowhere
        return 0.0


def _unread(path: Path, reason: str) -> Diagnostic:
    return Diagnostic(str(path), f"cannot be read: {reason}", "mend or remove the file")


def _require_folder(rego_dir: Path) -> None:
    if not rego_dir.is_dir():
        raise PolicyUnreadableError(
            [Diagnostic(str(rego_dir), "no such folder", "name the policy folder with --rego-dir")]
        )


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Every file that counts, as (relative name, path); a folder that links to one above is entered once.

    Raises PolicyUnreadableError for a folder that cannot be listed: what it holds may be a deny.
    """
    seen: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        problem = Diagnostic(str(error.filename), f"cannot be listed: {error.strerror}", "mend or remove the folder")
        raise PolicyUnreadableError([problem]) from error

    for folder, folders, names in os.walk(root, followlinks=True, onerror=refuse):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.suffix in {".rego", ".json", ".yaml", ".yml"}:
                yield path.relative_to(root).as_posix(), path


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError("not a regular file, or a link to nowhere")
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"larger than {FILE_BYTES_MAX} bytes")
    return content


def _missing(root: Path, files: Mapping[str, bytes]) -> Iterator[Diagnostic]:
    copy = "copy it from the policy that ships with Placet"
    if CAPABILITIES not in files:
        yield Diagnostic(str(root / CAPABILITIES), "is missing, so nothing bounds what policy may call", copy)
    if INPUT_SCHEMA not in files:
        yield Diagnostic(str(root / INPUT_SCHEMA), "is missing, so misspelt input fields would go unnoticed", copy)
    if not any(name.endswith(".rego") for name in files):
        yield Diagnostic(str(root), "holds no policy (*.rego)", copy.replace(" it ", " one "))


class _Sorter:
    """Puts each file where it belongs; notes what belongs nowhere."""

    def __init__(self, root: Path, problems: list[Diagnostic]) -> None:
        self._root = root
        self._problems = problems
        self._modules: dict[str, bytes] = {}
        self._tests: dict[str, bytes] = {}
        self._data: dict[str, Document] = {}
        self._raw_data: dict[str, bytes] = {}
        self._tenants: dict[str, bytes] = {}
        self._schemas: dict[str, bytes] = {}

    def put(self, path: PurePosixPath, content: bytes) -> None:
        name = str(path)
        if path.suffix == ".rego":
            (self._tests if path.stem.endswith("_test") else self._modules)[name] = content
        elif name == CAPABILITIES:
            return
        elif path.parts[0] == SCHEMAS and path.suffix == ".json":
            self._schemas[name] = content
        elif path.parent == PurePosixPath(CONFIG) and path.suffix == ".yaml":
            self._tenants[name] = content
        elif path.name in DATA_NAMES and path.parts[0] != CONFIG:
            self._put_data(path, content)
        else:
            self._problem(path, "is read by nothing", self._expected(path))

    def tree(self, capabilities: bytes) -> PolicyTree:
        return PolicyTree(
            root=self._root,
            modules=self._modules,
            tests=self._tests,
            data=self._data,
            tenants=self._tenants,
            schemas=self._schemas,
            capabilities=capabilities,
            raw_data=self._raw_data,
        )

    def _put_data(self, path: PurePosixPath, content: bytes) -> None:
        name = str(path)
        if any(str(path.with_name(other)) in self._data for other in DATA_NAMES):
            self._problem(path, "stands beside a data.json", "keep one of the two")
            return
        read = read_json if path.suffix == ".json" else read_yaml
        try:
            document = read(content, str(self._root / path))
        except PolicyInvalidError as error:
            self._problems.extend(error.problems)
            return
        if not isinstance(document.value, dict):
            self._problem(path, "should be a mapping", "write `key: value` lines")
            return
        self._data[name] = document
        self._raw_data[name] = content

    def _expected(self, path: PurePosixPath) -> str:
        if path.parts[0] == CONFIG:
            return f"tenants are {CONFIG}/<tenant>.yaml"
        known = DATA_NAMES if len(path.parts) > 1 else (*DATA_NAMES, CAPABILITIES)
        return did_you_mean(path.name, known)

    def _problem(self, path: PurePosixPath, what: str, remedy: str) -> None:
        self._problems.append(Diagnostic(str(self._root / path), what, remedy))
