"""Where pinned programs come from: the official release with its checksum, else Go's module mirror.

Standard library alone: `make setup` runs this before anything is installed.
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
CONNECT_TIMEOUT_SECONDS: Final = 5  # without a way out, building from source should begin soon
CHUNK_BYTES: Final = 1 << 20
CHECKSUMS_BYTES_MAX: Final = 1 << 16
GO_WORDS_CHARS_MAX: Final = 500  # the end of what Go said tells why
_GO_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Tool:
    """One program at one version: `module` is where Go finds it, `package` its main package in there."""

    name: str
    version: str
    module: str
    package: str = "."
    flags: str = ""


OPA: Final = Tool("opa", OPA_VERSION, "github.com/open-policy-agent/opa")
REGAL: Final = Tool(
    "regal",
    REGAL_VERSION,
    "github.com/open-policy-agent/regal",
    flags=f"-X github.com/open-policy-agent/regal/pkg/version.Version={REGAL_VERSION}",
)


class FetchError(Exception):
    """A tool could not be had; the text says what to do."""


class UnreachableError(Exception):
    """The official release did not answer."""


def download(tool: Tool, new: Path, releases: str = RELEASES, *, linux: bool = False) -> str:
    """Write the official binary to `new`, checked against the published SHA-256; return how, in words.

    `linux` takes the one for Linux, whatever this machine is. Raises UnreachableError without a way there, FetchError
    when the checksum differs or names no such file.
    """
    name = asset(tool, linux=linux)
    folder = f"{releases}/{tool.module.removeprefix('github.com/')}/releases/download/v{tool.version}"
    sums = f"{name}.sha256" if tool.name.startswith("opa") else "checksums.txt"
    try:
        published = _published(_read(f"{folder}/{sums}"), name)
        digest = hashlib.sha256()
        with (
            urllib.request.urlopen(f"{folder}/{name}", timeout=CONNECT_TIMEOUT_SECONDS) as answer,  # noqa: S310 - https
            new.open("wb") as file,
        ):
            while chunk := answer.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise UnreachableError(str(getattr(error, "reason", error))) from error
    if digest.hexdigest() != published:
        new.unlink()
        raise FetchError(f"{folder}/{name}: SHA-256 is {digest.hexdigest()}, published is {published}. Not installed.")
    return f"downloaded from {folder}/{name}, SHA-256 {published} as published"


def asset(tool: Tool, *, linux: bool = False) -> str:
    """The name of the official binary for this machine, or for a Linux container on it."""
    system = "linux" if linux else platform.system().lower()
    if tool.name == REGAL.name:
        return f"regal_{system.capitalize()}_{platform.machine().replace('aarch64', 'arm64')}"
    machine = _GO_ARCHITECTURES.get(platform.machine(), platform.machine())
    return f"opa_{system}_{machine}" + ("" if (system, machine) == ("darwin", "amd64") else "_static")


def build(tool: Tool, new: Path, folder: Path, *, linux: bool = False) -> str:
    """Build from source, statically linked; `folder` is any directory. Go checks each module's published checksum.

    Raises FetchError without a Go toolchain, or when the build fails.
    """
    go = shutil.which("go")
    if go is None:
        raise FetchError("there is no Go toolchain to build it with")
    # GOFLAGS and GOWORK as set, whatever the person's own Go settings say
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    if linux:
        env["GOOS"] = "linux"
    try:
        # `go install module@version` asks for the list of all versions, which some module mirrors refuse
        said = _run([go, "mod", "download", "-json", f"{tool.module}@v{tool.version}"], env, folder)
        source = Path(json.loads(said)["Dir"])
        _run([go, "build", "-trimpath", "-ldflags", f"-s -w {tool.flags}", "-o", str(new), tool.package], env, source)
    except subprocess.CalledProcessError as error:
        why = (error.stderr or error.stdout).strip()[-GO_WORDS_CHARS_MAX:]
        raise FetchError(f"building it failed: {why}") from error
    return f"built from source as {tool.module}@v{tool.version}"


def _published(sums: str, name: str) -> str:
    """The SHA-256 of the file in lines of ``<sha256>  <name>``, or in a file of one checksum."""
    lines = [line.split() for line in sums.splitlines() if line.strip()]
    for fields in lines:
        if len(fields) > 1 and Path(fields[1].removeprefix("*")).name == name:
            return fields[0]
    if len(lines) == 1 and len(lines[0]) == 1:
        return lines[0][0]
    raise FetchError(f"{name}: no SHA-256 is published for it. Not installed.")


def _read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=CONNECT_TIMEOUT_SECONDS) as answer:  # noqa: S310 - https
        text: str = answer.read(CHECKSUMS_BYTES_MAX).decode()
    return text


def _run(command: list[str], env: dict[str, str], directory: Path) -> str:
    done = subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, check=True)  # noqa: S603 - go
    return done.stdout
