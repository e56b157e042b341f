"""The commands of README and of the page "first decision" work in a copy of the repository; data is well-formed.

`sh` lines run in order beside a running server: `make` words must exist (a test cannot run itself), a line that ends
otherwise than with 0 says so in a comment, `# exit code 3`; with `within seconds` it is typed again until it does. A
`rego` or `yaml` block that begins with the comment `# rego/...` is written to that file: in place of it, or at its end
when the block has no `package`. `python` blocks run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from tests.docs.blocks import ROOT, Block, blocks, documents, working_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FOLLOWED = (ROOT / "README.md", ROOT / "docs/start/first-decision.md")
DEFAULT_ADDRESS = "127.0.0.1:7070"
READY_WITHIN_SECONDS = 30
STEP_TIMEOUT_SECONDS = 100
WITHIN = "within seconds"
"""The remark on commands after a change of policy: the server checks a new revision before it takes over."""
READERS: Final[dict[str, Callable[[str], object]]] = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
}
DATA = [block for file in documents() for block in blocks(file) if block.language in READERS]


class Reader:
    """Does what a page says, in the folder of a fresh clone, beside a server that was started there."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self.words = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))

    def follow(self, block: Block) -> None:
        match block.language:
            case "sh":
                for line in block.text.replace("\\\n", " ").splitlines():
                    self.type(line)
            case "python":
                self.run([sys.executable, "-c", self.local(block.text)])
            case "rego" | "yaml":
                self.write(block.text)

    def type(self, line: str) -> None:
        command, _, remark = line.partition(" #")
        words = shlex.split(command, comments=True)
        match words:
            case [] | ["git", "clone", *_] | ["cd", _]:
                return
            case ["make", *targets]:
                assert set(targets) <= self.words, line
            case _:
                code = re.search(r"exit code (\d)", remark)
                self.run(["bash", "-c", self.local(command)], int(code[1]) if code else 0, patient=WITHIN in remark)

    def write(self, text: str) -> None:
        named = re.match(r"# (rego/\S+)\n", text)
        if named is None:
            return
        file = self.folder / named[1]
        begins = "\npackage " in text or file.suffix != ".rego"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if begins else f"{file.read_text()}\n{text}")

    def local(self, text: str) -> str:
        return text.replace(DEFAULT_ADDRESS, self.address)

    def run(self, command: list[str], code: int = 0, *, patient: bool = False) -> None:
        path = f"{ROOT / '.tools/bin'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "PLACET_ADDRESS": self.address}
        deadline = time.monotonic() + (READY_WITHIN_SECONDS if patient else 0)
        while True:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=env,
                capture_output=True,
                text=True,
                timeout=STEP_TIMEOUT_SECONDS,
                check=False,
            )
            if done.returncode == code or time.monotonic() > deadline:
                break
        assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = working_copy(tmp_path)
    command = [sys.executable, "-m", "placet", "serve", "--listen", "127.0.0.1:0"]
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log)
    try:
        ready = folder / ".placet/serve.json"
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not (ready.exists() and ready.stat().st_size):
            assert process.poll() is None, (tmp_path / "serve.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "serve.log").read_text()
            time.sleep(0.05)
        yield Reader(folder, json.loads(ready.read_bytes())["address"])
    finally:
        process.terminate()
        process.wait(READY_WITHIN_SECONDS)


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_following_the_page_works(reader: Reader, page: Path) -> None:
    followed = blocks(page)
    assert {"sh", "python"} <= {block.language for block in followed}
    for block in followed:
        reader.follow(block)


@pytest.mark.parametrize("block", DATA, ids=str)
def test_data_in_documents_is_well_formed(block: Block) -> None:
    assert READERS[block.language](block.text)
