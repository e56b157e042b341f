"""A registry of OCI images in a process: Debian's docker-registry."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.faults.serving import START_SECONDS_MAX, eventually, free_address
from tests.support.listening import accepts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER: Final = "placet"
PASSWORD: Final = "registry-password"  # noqa: S105 - of a registry that lives as long as a test
_HTPASSWD: Final = f"{USER}:$2b$05$nQOWXH7KUbJJPUfEzkah1./S25xoz2EmHjsVmB9dI4RcRQgwsLgsC\n"


@contextlib.contextmanager
def registry(folder: Path, *, tls: tuple[Path, Path] | None = None, password: bool = False) -> Iterator[str]:
    """Run a registry that stores in the folder. Yields its address, host:port.

    `tls` are the files of its certificate and key. With `password` it takes only USER with PASSWORD.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.fail("docker-registry is not installed. Remedy (Debian): apt-get install docker-registry")
    address = free_address()
    http: dict[str, Any] = {"addr": address, "secret": "of-a-test"}
    if tls is not None:
        http["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": http,
    }
    if password:
        (folder / "htpasswd").write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    file = folder / "registry.json"  # JSON is YAML
    file.write_text(json.dumps(config))
    with (
        (folder / "registry.log").open("ab") as log,
        subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=log) as process,
    ):
        try:
            eventually(lambda: accepts(address), START_SECONDS_MAX, "the registry listens")
            yield address
        finally:
            process.terminate()
