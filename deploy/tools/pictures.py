"""Draw the terminal pictures of the documentation: `pictures.py [FOLDER]`, by default into docs/images.

Each picture shows the real output of real commands, run against a server that is started for it. The SVG uses only
local fonts, so a page that shows it loads nothing from the network.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
COLUMNS: Final = 96
ROWS: Final = 60
READY_WITHIN_SECONDS: Final = 30
REFUND: Final = (
    "placet authorize --tenant acme --agent me --user u_4812 --role support_refunds --tool stripe.refund"
    """ --params '{"charge":"ch_42","amount":%s,"currency":"USD"}' --amount '%s USD'"""
)
DEMONSTRATION: Final = "placet demo --exit --script deploy/demo/limits-that-hold.yaml"
REFUNDS: Final = [REFUND % ("45.00", "45.00"), REFUND % ("7500", "7500.00")]
SVG: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> int:
    """Draw all pictures. Return 0."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        work = checkout(Path(place))
        draw("limits", typed([DEMONSTRATION], work, {}), folder)
        with serving(work) as address:
            draw("decision", typed(REFUNDS, work, {"PLACET_ADDRESS": address}), folder)
    return 0


def checkout(place: Path) -> Path:
    """Copy the example policies and the demonstration into `place`, and return it."""
    for name in ("rego", "deploy/demo"):
        shutil.copytree(ROOT / name, place / name)
    return place


@contextmanager
def serving(work: Path) -> Iterator[str]:
    """Run a server with the policies of `work` for the duration of the block. Yields its address."""
    ready = work / ".placet/serve.json"
    command = [sys.executable, "-m", "placet", "serve", "--listen", "127.0.0.1:0", "--log-level", "error"]
    with subprocess.Popen(command, cwd=work) as process:
        try:
            deadline = time.monotonic() + READY_WITHIN_SECONDS
            while not (ready.exists() and ready.stat().st_size):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("pictures: the server did not start; see its output above")
                time.sleep(0.05)
            yield json.loads(ready.read_bytes())["address"]
        finally:
            process.terminate()


def typed(commands: list[str], work: Path, environment: dict[str, str]) -> str:
    """Run the commands, and return the content of the terminal with its colours."""
    prompt = "\x1b[1;32m$\x1b[0m \x1b[1m{}\x1b[0m\n"
    return "\n".join(prompt.format(folded(command)) + output(command, work, environment) for command in commands)


def folded(command: str) -> str:
    """Return the command, with line breaks before flags where a line is full."""
    lines = [""]
    for option in command.replace(" --", "\n--").splitlines():
        if len(lines[-1]) + len(option) > COLUMNS - 6:
            lines.append(" ")
        lines[-1] += f" {option}" if lines[-1] else option
    return " \\\n".join(lines)


def output(command: str, work: Path, environment: dict[str, str]) -> str:
    """Run a command in a terminal of COLUMNS columns, and return its output."""
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    flags = ["--listen", "127.0.0.1:0"] if command.startswith("placet demo") else []
    words = [sys.executable, "-m", *shlex.split(command), *flags]
    variables = os.environ | environment | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    with subprocess.Popen(words, cwd=work, env=variables, stdout=terminal, stderr=terminal):
        os.close(terminal)
        return b"".join(read_all(reader)).decode().replace("\r\n", "\n")


def read_all(reader: int) -> Iterator[bytes]:
    """Yield what arrives through a pseudo-terminal until its other end is closed."""
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while True:
            try:
                part = stream.read(65_536)
            except OSError:  # Linux reports the end of the last writer as an error
                return
            if not part:
                return
            yield part


def draw(name: str, content: str, folder: Path) -> None:
    """Write the content of a terminal as `name`.svg."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(content.rstrip("\n")))
    svg = console.export_svg(title="placet", code_format=SVG, unique_id=f"placet-{name}")
    file = folder / f"{name}.svg"
    file.write_text("".join(f"{line.rstrip()}\n" for line in svg.splitlines()))
    print(f"pictures: {file}")


if __name__ == "__main__":
    sys.exit(main())
