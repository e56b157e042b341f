"""Download a pinned program from its official release, or build it from source with Go.

A download is verified against the published SHA-256. Go verifies each module against its checksum database. Uses only
the standard library, because `make setup` runs this before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OPA_VERSION: Final = Path(__file__).with_name("OPA_VERSION").read_text(encoding="utf-8").strip()
REGAL_VERSION: Final = "0.42.0"
RELEASES: Final = "https://github.com"
CONNECT_TIMEOUT_SECONDS: Final = 5  # short, so that without network access the build from source begins soon
CHUNK_BYTES: Final = 1 << 20
CHECKSUMS_BYTES_MAX: Final = 1 << 16
GO_ERROR_CHARS_MAX: Final = 500  # shown of Go's output, from its end, where the cause is
_GO_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Tool:
    """One program at one version."""

    name: str
    version: str
    module: str  # Go module
    package: str = "."  # main package in the module
    flags: str = ""  # for Go's linker


OPA: Final = Tool("opa", OPA_VERSION, "github.com/open-policy-agent/opa")
REGAL: Final = Tool(
    "regal",
    REGAL_VERSION,
    "github.com/open-policy-agent/regal",
    flags=f"-X github.com/open-policy-agent/regal/pkg/version.Version={REGAL_VERSION}",
)


class FetchError(Exception):
    """A tool could not be downloaded or built. The text says why."""


class UnreachableError(Exception):
    """The official release could not be downloaded. The text says why."""


def download(tool: Tool, new: Path, releases: str = RELEASES, *, linux: bool = False) -> str:
    """Write the official binary to `new`, verify its published SHA-256, and return a sentence on its origin.

    `linux` selects the binary for Linux on any machine. Raises UnreachableError when the release cannot be reached, and
    FetchError when the checksum differs or none is published for the file.
    """
    name = asset(tool, linux=linux)
    folder = f"{releases}/{tool.module.removeprefix('github.com/')}/releases/download/v{tool.version}"
    sums = f"{name}.sha256" if tool.name.startswith("opa") else "checksums.txt"
    try:
        published = _published(_read(f"{folder}/{sums}"), name)
        digest = hashlib.sha256()
        with (
            urllib.request.urlopen(f"{folder}/{name}", timeout=CONNECT_TIMEOUT_SECONDS) as response,  # noqa: S310 - https
            new.open("wb") as file,
        ):
            while chunk := response.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise UnreachableError(str(getattr(error, "reason", error))) from error
    if digest.hexdigest() != published:
        new.unlink()
        raise FetchError(
            f"{folder}/{name}: its SHA-256 is {digest.hexdigest()}, but {published} is published. Not installed."
        )
    return f"downloaded from {folder}/{name}, SHA-256 {published} as published"


def asset(tool: Tool, *, linux: bool = False) -> str:
    """Return the name of the official binary for this machine, or for a Linux container on it."""
    system = "linux" if linux else platform.system().lower()
    if tool.name == REGAL.name:
        return f"regal_{system.capitalize()}_{platform.machine().replace('aarch64', 'arm64')}"
    machine = _GO_ARCHITECTURES.get(platform.machine(), platform.machine())
    return f"opa_{system}_{machine}" + ("" if (system, machine) == ("darwin", "amd64") else "_static")


def build(tool: Tool, new: Path, folder: Path, *, linux: bool = False) -> str:
    """Build the program from source into `new`, statically linked, and return a sentence on its origin.

    `folder` is any existing directory. `linux` builds for Linux on any machine. Raises FetchError without a Go
    toolchain, and when the build fails.
    """
    go = shutil.which("go")
    if go is None:
        raise FetchError("cannot be built without a Go toolchain")
    # the user's own GOFLAGS and GOWORK could change the build
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    if linux:
        env["GOOS"] = "linux"
    try:
        # not `go install module@version`: it requests the list of all versions, which some module mirrors refuse
        download_json = _run([go, "mod", "download", "-json", f"{tool.module}@v{tool.version}"], env, folder)
        source = Path(json.loads(download_json)["Dir"])
        _run([go, "build", "-trimpath", "-ldflags", f"-s -w {tool.flags}", "-o", str(new), tool.package], env, source)
    except subprocess.CalledProcessError as error:
        output = (error.stderr or error.stdout).strip()[-GO_ERROR_CHARS_MAX:]
        raise FetchError(f"the build failed: {output}") from error
    return f"built from source as {tool.module}@v{tool.version}"


def _published(sums: str, name: str) -> str:
    """Return the SHA-256 of a file from lines of ``<sha256>  <name>``, or from a text of one checksum.

    Raises FetchError when the text has none for the file.
    """
    lines = [line.split() for line in sums.splitlines() if line.strip()]
    for fields in lines:
        if len(fields) > 1 and Path(fields[1].removeprefix("*")).name == name:
            return fields[0]
    if len(lines) == 1 and len(lines[0]) == 1:
        return lines[0][0]
    raise FetchError(f"{name}: no SHA-256 is published for this file. Not installed.")


def _read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=CONNECT_TIMEOUT_SECONDS) as response:  # noqa: S310 - https
        text: str = response.read(CHECKSUMS_BYTES_MAX).decode()
    return text


def _run(command: list[str], env: dict[str, str], directory: Path) -> str:
    completed = subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, check=True)  # noqa: S603 - go
    return completed.stdout
