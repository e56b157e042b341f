"""Brings the pinned tools: `fetch.py opa regal` puts them in .tools/bin. Standard library alone, as it runs first.

`opa` comes from PATH when it is that very version, else as the official static binary whose SHA-256 is published
beside it, else from source through the Go toolchain, which checks every module against Go's checksum database.
`opa-static` is the binary for containers: never dynamically linked, always for Linux. `regal` and `ghz` are built
from source.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
TOOLS: Final = ROOT / ".tools"
OPA_VERSION: Final = (ROOT / "server/placet/opa/OPA_VERSION").read_text().strip()
OPA_DOWNLOADS: Final = "https://github.com/open-policy-agent/opa/releases/download"
CONNECT_TIMEOUT_SECONDS: Final = 5  # without a way out, building from source should begin soon
CHUNK_BYTES: Final = 1 << 20
GO_WORDS_CHARS_MAX: Final = 500  # the end of what Go said tells why
ELF_INTERPRETER: Final = 3  # PT_INTERP, the program header that only a dynamically linked binary has


@dataclass(frozen=True)
class Tool:
    """One program at one version: `module` is where Go finds it, `package` its main package in there."""

    name: str
    version: str
    module: str
    package: str = "."
    flags: str = ""

    @property
    def path(self) -> Path:
        """Where it is kept, the version in the path: a new version is another file."""
        return TOOLS / f"{self.name}-{self.version}" / self.name.removesuffix("-static")


OPA: Final = Tool("opa", OPA_VERSION, "github.com/open-policy-agent/opa")
OPA_STATIC: Final = Tool("opa-static", OPA_VERSION, "github.com/open-policy-agent/opa")
REGAL: Final = Tool(
    "regal",
    "0.42.0",
    "github.com/open-policy-agent/regal",
    flags="-X github.com/open-policy-agent/regal/pkg/version.Version=0.42.0",
)
GHZ: Final = Tool("ghz", "0.121.0", "github.com/bojand/ghz", package="./cmd/ghz", flags="-X main.version=0.121.0")
KNOWN: Final = {tool.name: tool for tool in (OPA, OPA_STATIC, REGAL, GHZ)}


class FetchError(Exception):
    """A tool could not be had; the text says what to do."""


class UnreachableError(Exception):
    """The official download did not answer."""


def main(names: list[str]) -> int:
    """Bring each named tool that is not there yet. 0 done, 1 could not, 2 unknown name."""
    unknown = sorted(set(names) - set(KNOWN))
    if unknown or not names:
        print(f"usage: fetch.py {{{'|'.join(KNOWN)}}}...", file=sys.stderr)
        return 2
    try:
        for name in names:
            fetch(KNOWN[name])
    except FetchError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def fetch(tool: Tool) -> None:
    """Put `tool` at its path and, when it runs on this machine, into .tools/bin. Says in one line what was done."""
    if not tool.path.exists():
        tool.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=TOOLS) as scratch:
            new = Path(scratch) / tool.name
            how = obtain(tool, new)
            new.chmod(0o755)
            new.replace(tool.path)
        print(f"setup: {tool.name} {tool.version}: {how}", flush=True)
    if tool is not OPA_STATIC:
        link(tool)


def link(tool: Tool) -> None:
    """Point .tools/bin/<name> at this version."""
    (TOOLS / "bin").mkdir(exist_ok=True)
    shown, target = TOOLS / "bin" / tool.name, Path("..") / tool.path.relative_to(TOOLS)
    if not shown.is_symlink() or shown.readlink() != target:
        shown.unlink(missing_ok=True)
        shown.symlink_to(target)


def obtain(tool: Tool, new: Path) -> str:
    """Write the program to `new` by the first way that works; return how, in words."""
    if tool.module != OPA.module:
        return build(tool, new)
    found = installed_opa(static=tool is OPA_STATIC)
    if found is not None:
        shutil.copy(found, new)
        return f"taken from {found}"
    try:
        return download_opa(new, static=tool is OPA_STATIC)
    except UnreachableError as error:
        return f"{build(tool, new)} (official download: {error})"


def installed_opa(*, static: bool) -> Path | None:
    """An `opa` of exactly the wanted version: one fetched before, else the one on PATH."""
    candidates = [OPA.path, OPA_STATIC.path, Path(shutil.which("opa") or os.devnull)]
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


def download_opa(new: Path, *, static: bool) -> str:
    """The official static binary, checked against the checksum beside it. UnreachableError without a way there."""
    address = f"{OPA_DOWNLOADS}/v{OPA_VERSION}/{asset(static=static)}"
    try:
        with urllib.request.urlopen(f"{address}.sha256", timeout=CONNECT_TIMEOUT_SECONDS) as answer:
            published = answer.read(1_024).decode().split()[0]
        digest = hashlib.sha256()
        with urllib.request.urlopen(address, timeout=CONNECT_TIMEOUT_SECONDS) as answer, new.open("wb") as file:
            while chunk := answer.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise UnreachableError(str(getattr(error, "reason", error))) from error
    if digest.hexdigest() != published:
        raise FetchError(f"{address}: SHA-256 is {digest.hexdigest()}, published is {published}. Not installed.")
    return f"downloaded from {address}, SHA-256 as published"


def asset(*, static: bool) -> str:
    """The name of the official binary for this machine, or for a Linux container on it."""
    system = "linux" if static else platform.system().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"opa_{system}_{machine}" + ("" if (system, machine) == ("darwin", "amd64") else "_static")


def build(tool: Tool, new: Path) -> str:
    """Build from source, statically linked. Go checks the module, and what it needs, against its checksum database."""
    go = shutil.which("go")
    if go is None:
        raise FetchError(remedy(tool, "there is no Go toolchain to build it with"))
    # GOFLAGS and GOWORK as set, whatever the person's own Go settings say
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    if tool is OPA_STATIC:
        env["GOOS"] = "linux"
    try:
        # `go install module@version` asks for the list of all versions, which some module mirrors refuse
        said = run([go, "mod", "download", "-json", f"{tool.module}@v{tool.version}"], env, TOOLS)
        source = Path(json.loads(said)["Dir"])
        run([go, "build", "-trimpath", "-ldflags", f"-s -w {tool.flags}", "-o", str(new), tool.package], env, source)
    except subprocess.CalledProcessError as error:
        why = (error.stderr or error.stdout).strip()[-GO_WORDS_CHARS_MAX:]
        raise FetchError(remedy(tool, f"building it failed: {why}")) from error
    return f"built from source as {tool.module}@v{tool.version}"


def run(command: list[str], env: dict[str, str], directory: Path) -> str:
    """The standard output of `command`."""
    return subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, check=True).stdout


def remedy(tool: Tool, why: str) -> str:
    """What to do when a tool cannot be had."""
    if tool.module == OPA.module:
        other = f"put opa {tool.version} (statically linked for containers) on PATH, or let {OPA_DOWNLOADS} be reached,"
    else:
        other = "let the Go module mirror be reached,"
    return f"{tool.name} {tool.version}: {why}. Remedy: {other} or install Go 1.26 or newer; then `make setup` again."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
