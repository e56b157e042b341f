"""The policy tree: the files of a policy folder, sorted by what they are.

    capabilities.json            what policy may call
    schemas/*.json               JSON Schema of `input`
    config/<tenant>.yaml         each tenant's agent_policy
    **/*.rego, **/*_test.rego    modules (package = folder) and their tests
    **/data.yaml, **/data.json   their data

`placet.policy.files.folder` reads the files. All checks and the bundle work on a tree that was read once, so a later
change of the folder has no effect on them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.diagnostics import did_you_mean
from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.files.folder import read_files
from placet.policy.files.strict_yaml import Document, read_json, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CAPABILITIES: Final = "capabilities.json"
INPUT_SCHEMA: Final = "schemas/input.json"
SCHEMAS: Final = "schemas"
CONFIG: Final = "config"
DATA_NAMES: Final = ("data.json", "data.yaml")


@dataclass(frozen=True)
class PolicyTree:
    """The files of a policy tree. Each mapping has paths below `root`, with ``/``, as keys."""

    root: Path
    modules: Mapping[str, bytes]  # without tests
    tests: Mapping[str, bytes]
    data: Mapping[str, Document]
    tenants: Mapping[str, bytes]  # the tenant files, not yet validated
    schemas: Mapping[str, bytes]
    capabilities: bytes
    raw_data: Mapping[str, bytes] = field(default_factory=dict)  # the files that `data` was read from

    def where(self, relative: str, line: int = 0) -> str:
        """Return the location of a file for error messages: ``rego/policy/refunds/refunds.rego:12``."""
        return f"{self.root / relative}" + (f":{line}" if line else "")

    @property
    def deciding(self) -> dict[str, bytes]:
        """The files that decisions depend on, by name: all but tests."""
        files = {**self.modules, **self.raw_data, **self.tenants, **self.schemas}
        return {**files, CAPABILITIES: self.capabilities}

    @property
    def digest(self) -> str:
        """Digest of all files: the `content_digest` of the folder that the tree was read from."""
        return digest_of({**self.deciding, **self.tests})

    def nested_data(self) -> dict[str, Any]:
        """Return all data documents as one, each below the keys of its folder, as OPA merges them."""
        nested: dict[str, Any] = {}
        for name, document in self.data.items():
            value = document.value
            for part in reversed(PurePosixPath(name).parent.parts):
                value = {part: value}
            nested = merged(nested, value)
        return nested


def merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Return the two objects as one, as ``object.union`` of OPA does: `right` wins, and objects are merged."""
    union = {**left, **right}
    for key in left.keys() & right.keys():
        if isinstance(left[key], dict) and isinstance(right[key], dict):
            union[key] = merged(left[key], right[key])
    return union


def read_tree(rego_dir: Path) -> PolicyTree:
    """Read the tree of a policy folder.

    Raises PolicyInvalidError with everything that is missing or misplaced. Raises PolicyUnreadableError when a part of
    the folder cannot be read, so that its content is unknown.
    """
    files, problems = read_files(rego_dir)
    return tree_of(rego_dir, files, problems)


def content_digest(rego_dir: Path) -> str:
    """Return the digest of all files of a policy folder. Raises PolicyUnreadableError when one cannot be read."""
    files, problems = read_files(rego_dir)
    return digest_of({**files, **{problem.where: problem.what.encode() for problem in problems}})


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256, in hex, over the names and contents of the files, sorted by name."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        for part in (name.encode(errors="surrogateescape"), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def tree_of(root: Path, files: Mapping[str, bytes], problems: Sequence[Diagnostic] = ()) -> PolicyTree:
    """Sort files, given by their path below `root`, into a tree.

    Raises PolicyInvalidError with the given problems and those of the files.
    """
    all_problems = list(problems)
    sorter = _Sorter(root, all_problems)
    for relative in sorted(files):
        if _is_within(relative):
            sorter.put(PurePosixPath(relative), files[relative])
        else:
            where, remedy = f"{root}: {relative!a}", "write the bundle with `placet policy bundle`"
            all_problems.append(Diagnostic(where, "is no path within the folder", remedy))
    if CAPABILITIES not in files and INPUT_SCHEMA not in files:
        all_problems.clear()  # not a policy folder, so what else is in it does not matter
    if not all_problems:
        all_problems.extend(_missing(root, files))
    if all_problems:
        raise PolicyInvalidError(all_problems)
    return sorter.tree(files[CAPABILITIES])


def _is_within(relative: str) -> bool:
    """Return whether the path stays below its folder, and is written in the only way. One of a bundle may be neither.

    The files of a tree are written below a temporary folder, where ``../x.rego`` and ``/x.rego`` would lead out of it.
    """
    path = PurePosixPath(relative)
    return str(path) == relative and not path.is_absolute() and ".." not in path.parts and "\0" not in relative


def _missing(root: Path, files: Mapping[str, bytes]) -> Iterator[Diagnostic]:
    copy = "copy it from the policy that ships with Placet"
    if CAPABILITIES not in files:
        yield Diagnostic(str(root / CAPABILITIES), "is missing, so nothing limits what policy may call", copy)
    if INPUT_SCHEMA not in files:
        yield Diagnostic(str(root / INPUT_SCHEMA), "is missing, so misspelt input fields would go unnoticed", copy)
    if not any(name.endswith(".rego") for name in files):
        yield Diagnostic(str(root), "holds no policy (*.rego)", copy.replace(" it ", " one "))


class _Sorter:
    """Sorts files into the parts of a tree, and adds a problem for each file that belongs to none."""

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
            self._problem(path, "Placet does not read a file of this name", self._expected(path))

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
            self._problem(path, "is in the same folder as a data.json", "keep one of the two")
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
            return f"tenant files are {CONFIG}/<tenant>.yaml"
        known = DATA_NAMES if len(path.parts) > 1 else (*DATA_NAMES, CAPABILITIES)
        return did_you_mean(path.name, known)

    def _problem(self, path: PurePosixPath, what: str, remedy: str) -> None:
        self._problems.append(Diagnostic(str(self._root / path), what, remedy))
