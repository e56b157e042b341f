"""Install the pinned tools into .tools/bin: `fetch.py opa regal`.

Uses only the standard library, because it runs before anything is installed.

`opa` is copied from PATH when it has the pinned version. Else the official static binary is downloaded and its
published SHA-256 verified. When the download fails, `opa` is built from source with Go, which verifies every module
against Go's checksum database. `opa-static` is the binary for containers: statically linked and always for Linux.
`regal`, `kustomize` and `ghz` are built from source.
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

from placet.policy.toolchain.tool_sources import (  # noqa: E402 - importable after the line above
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
KUSTOMIZE: Final = Tool("kustomize", "5.7.1", "sigs.k8s.io/kustomize/kustomize/v5")
KNOWN: Final = {tool.name: tool for tool in (OPA, OPA_STATIC, REGAL, GHZ, KUSTOMIZE)}


def main(names: list[str]) -> int:
    """Install each named tool that is missing. Return 0, 1 when one cannot be installed, or 2 for an unknown name."""
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
    """Return where the tool is stored. The path contains the version, so a new version is another file."""
    return TOOLS / f"{tool.name}-{tool.version}" / tool.name.removesuffix("-static")


def fetch(tool: Tool) -> None:
    """Store the tool at its path when it is missing, and link it in .tools/bin when it runs on this machine."""
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
    shortcut, target = TOOLS / "bin" / tool.name, Path("..") / path_of(tool).relative_to(TOOLS)
    if not shortcut.is_symlink() or shortcut.readlink() != target:
        shortcut.unlink(missing_ok=True)
        shortcut.symlink_to(target)


def obtain(tool: Tool, new: Path) -> str:
    """Write the program to `new` in the first way that works, and return a sentence on its origin."""
    static = tool is OPA_STATIC
    if tool.module != OPA.module:
        return build(tool, new, TOOLS)
    installed = installed_opa(static=static)
    if installed is not None:
        shutil.copy(installed, new)
        return f"copied from {installed}"
    try:
        return download(tool, new, RELEASES, linux=static)
    except UnreachableError as error:
        return f"{build(tool, new, TOOLS, linux=static)} (official download: {error})"


def installed_opa(*, static: bool) -> Path | None:
    """Return an `opa` of the pinned version: one that was installed before, else the one on PATH; None without."""
    candidates = [path_of(OPA), path_of(OPA_STATIC), Path(shutil.which("opa") or os.devnull)]
    for candidate in candidates:
        if candidate.is_file() and opa_version(candidate) == OPA_VERSION and (is_static(candidate) or not static):
            return candidate
    return None


def opa_version(program: Path) -> str:
    """Return the version that `opa version` prints, such as `1.2.3`; "" when it cannot be run."""
    try:
        output = subprocess.run([program, "version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return next((line.split()[-1] for line in output.splitlines() if line.startswith("Version:")), "")


def is_static(program: Path) -> bool:
    """Return whether a 64-bit little-endian ELF file needs no dynamic loader, so that it runs in an empty container."""
    head = program.read_bytes()[: 1 << 16]
    if head[:6] != b"\x7fELF\x02\x01":
        return False
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    kinds = [struct.unpack_from("<I", head, table + index * size)[0] for index in range(count)]
    return ELF_INTERPRETER not in kinds


def remedy(tool: Tool) -> str:
    """Return what to do when the tool cannot be installed."""
    if tool.module == OPA.module:
        kind = "a statically linked opa" if tool is OPA_STATIC else "opa"
        other = f"put {kind} {tool.version} on PATH, give this machine access to {RELEASES},"
    else:
        other = "give this machine access to the Go module mirror,"
    return f"Remedy: {other} or install Go 1.26 or newer; then run `make setup` again."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
