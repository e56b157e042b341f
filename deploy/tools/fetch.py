"""Brings the pinned tools: `fetch.py opa regal` puts them in .tools/bin. Standard library alone, as it runs first.

`opa` comes from PATH when it is that very version, else as the official static binary whose SHA-256 is published
beside it, else from source through the Go toolchain, which checks every module against Go's checksum database.
`opa-static` is the binary for containers: never dynamically linked, always for Linux. `regal` and `ghz` are built
from source.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "server"))

from placet.policy.toolchain.tool_sources import (  # noqa: E402 - found by the line above
    OPA,
    OPA_VERSION,
    REGAL,
    RELEASES,
    FetchError,
    Tool,
    UnreachableError,
    build,
    download,
)

TOOLS: Final = ROOT / ".tools"
ELF_INTERPRETER: Final = 3  # PT_INTERP, the program header that only a dynamically linked binary has
OPA_STATIC: Final = Tool("opa-static", OPA_VERSION, OPA.module)
GHZ: Final = Tool("ghz", "0.121.0", "github.com/bojand/ghz", package="./cmd/ghz", flags="-X main.version=0.121.0")
KNOWN: Final = {tool.name: tool for tool in (OPA, OPA_STATIC, REGAL, GHZ)}


def main(names: list[str]) -> int:
    """Bring each named tool that is not there yet. 0 done, 1 could not, 2 unknown name."""
    unknown = sorted(set(names) - set(KNOWN))
    if unknown or not names:
        print(f"usage: fetch.py {{{'|'.join(KNOWN)}}}...", file=sys.stderr)
        return 2
    for name in names:
        try:
            fetch(KNOWN[name])
        except FetchError as error:
            print(f"setup: {name} {KNOWN[name].version}: {error}. {remedy(KNOWN[name])}", file=sys.stderr)
            return 1
    return 0


def path_of(tool: Tool) -> Path:
    """Where it is kept, the version in the path: a new version is another file."""
    return TOOLS / f"{tool.name}-{tool.version}" / tool.name.removesuffix("-static")


def fetch(tool: Tool) -> None:
    """Put `tool` at its path and, when it runs on this machine, into .tools/bin. Says in one line what was done."""
    path = path_of(tool)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=TOOLS) as scratch:
            new = Path(scratch) / tool.name
            how = obtain(tool, new)
            new.chmod(0o755)
            new.replace(path)
        print(f"setup: {tool.name} {tool.version}: {how}", flush=True)
    if tool is not OPA_STATIC:
        link(tool)


def link(tool: Tool) -> None:
    """Point .tools/bin/<name> at this version."""
    (TOOLS / "bin").mkdir(exist_ok=True)
    shown, target = TOOLS / "bin" / tool.name, Path("..") / path_of(tool).relative_to(TOOLS)
    if not shown.is_symlink() or shown.readlink() != target:
        shown.unlink(missing_ok=True)
        shown.symlink_to(target)


def obtain(tool: Tool, new: Path) -> str:
    """Write the program to `new` by the first way that works; return how, in words."""
    static = tool is OPA_STATIC
    if tool.module != OPA.module:
        return build(tool, new, TOOLS)
    found = installed_opa(static=static)
    if found is not None:
        shutil.copy(found, new)
        return f"taken from {found}"
    try:
        return download(tool, new, RELEASES, linux=static)
    except UnreachableError as error:
        return f"{build(tool, new, TOOLS, linux=static)} (official download: {error})"


def installed_opa(*, static: bool) -> Path | None:
    """An `opa` of exactly the wanted version: one fetched before, else the one on PATH."""
    candidates = [path_of(OPA), path_of(OPA_STATIC), Path(shutil.which("opa") or os.devnull)]
    for candidate in candidates:
        if candidate.is_file() and opa_version(candidate) == OPA_VERSION and (is_static(candidate) or not static):
            return candidate
    return None


def opa_version(program: Path) -> str:
    """What `opa version` says, as `1.2.3`; "" when it does not run."""
    try:
        said = subprocess.run([program, "version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return next((line.split()[-1] for line in said.splitlines() if line.startswith("Version:")), "")


def is_static(program: Path) -> bool:
    """Whether this 64-bit ELF file (little-endian) asks for no loader, so that it runs in an empty container."""
    head = program.read_bytes()[: 1 << 16]
    if head[:6] != b"\x7fELF\x02\x01":
        return False
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    kinds = [struct.unpack_from("<I", head, table + index * size)[0] for index in range(count)]
    return ELF_INTERPRETER not in kinds


def remedy(tool: Tool) -> str:
    """What to do when a tool cannot be had."""
    if tool.module == OPA.module:
        other = f"put opa {tool.version} (statically linked for containers) on PATH, or let {RELEASES} be reached,"
    else:
        other = "let the Go module mirror be reached,"
    return f"Remedy: {other} or install Go 1.26 or newer; then `make setup` again."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
