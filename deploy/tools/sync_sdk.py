"""Generate the SDK's blocking clients from its asyncio clients.

`sync_sdk.py` writes server/placet/sdk/_sync from server/placet/sdk/_async; `sync_sdk.py --check` only compares them.
The connections below them (server/placet/sdk/_transport) are written by hand for both, because gRPC's two Python APIs
differ in errors, streams, threads and forks.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "server/placet/sdk/_async"
TARGET: Final = ROOT / "server/placet/sdk/_sync"
HEADER: Final = "# Generated from server/placet/sdk/_async/{} by deploy/tools/sync_sdk.py. Do not edit.\n"
REPLACEMENTS: Final = (
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\baclosing\b", "closing"),
    (r"\bimport asyncio\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\bAsyncGenerator\[(\w+), None\]", r"Generator[\1, None, None]"),
    (r"\bAwaitable, ", ""),
    (r"\bAwaitable\[(\w+ \| \w+)\]", r"\1"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"placet\.sdk\._async\b", "placet.sdk._sync"),
    (r"placet\.sdk\._transport\.aio\b", "placet.sdk._transport.blocking"),
    (r"\bfor asyncio\.", "for code that blocks."),
    (r"\bof asyncio clients\b", "of blocking clients"),
    (
        r"Safe to use from several event loops(: each one gets a separate connection)?\.",
        "Safe to use from several threads.",
    ),
)
"""Regular expressions and what replaces a match, in this order. Each one must match somewhere."""


def main(arguments: list[str]) -> int:
    """Write or compare the generated modules. Return the exit code."""
    sources = sorted(SOURCE.glob("*.py"))
    unused = unused_patterns([path.read_text() for path in sources])
    if unused:
        print(f"sync_sdk.py: nothing in {SOURCE.relative_to(ROOT)} matches {unused}. Remove them.", file=sys.stderr)
        return 1
    expected = {TARGET / path.name: blocking(path) for path in sources}
    actual = {path: path.read_text() for path in TARGET.glob("*.py")}
    if arguments == ["--check"]:
        return report_differences(expected, actual)
    for path in actual.keys() - expected.keys():
        path.unlink()
    for path, text in expected.items():
        path.write_text(text)
    return 0


def unused_patterns(texts: list[str]) -> list[str]:
    """Return the patterns of REPLACEMENTS that match in none of the texts."""
    return [pattern for pattern, _ in REPLACEMENTS if not any(re.search(pattern, text) for text in texts)]


def report_differences(expected: dict[Path, str], actual: dict[Path, str]) -> int:
    """Print each path whose text is not the expected one. Return the exit code."""
    different = [path for path in sorted({*expected, *actual}) if expected.get(path) != actual.get(path)]
    for path in different:
        print(f"{path.relative_to(ROOT)}: differs from its source. Run: make sync-sdk", file=sys.stderr)
    return 1 if different else 0


def blocking(source: Path) -> str:
    """Return the text of the blocking module, sorted and formatted as Ruff does."""
    text = source.read_text()
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    text = HEADER.format(source.name) + text
    name = str(TARGET / source.name)
    sorted_text = ruff("check", "--quiet", "--select=I", "--fix", "--stdin-filename", name, text=text)
    return ruff("format", "--quiet", "--stdin-filename", name, text=sorted_text)


def ruff(*arguments: str, text: str) -> str:
    """Return the text as Ruff prints it."""
    command = [sys.executable, "-m", "ruff", *arguments, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
