"""Check the texts for words that make sentences hard to read: `words.py`. Part of `make lint`.

The list holds words that are vague ("it is told", "what becomes of it") or replace the name of a role ("whoever").
Write the subject, the verb and the term of the glossary instead.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
TEXTS: Final = (
    "README.md",
    ".github/*.md",
    "docs/**/*.md",
    "proto/**/*.proto",
    "rego/**/*.rego",
    "rego/**/*.yaml",
    "server/placet/**/*.py",
    "deploy/**/*.py",
    "tests/support/*.py",
    "Makefile",
)
GENERATED: Final = "server/placet/v1/"
OWN: Final = "deploy/tools/words.py"
HARD_TO_READ: Final = {
    "told": "name who reports what to whom",
    "whoever": "name the role: caller, approver, operator",
    "nobody": "say what does not happen",
    "somebody": "name the role: a person, an operator",
    "what becomes of": "lifecycle, result",
    "stands in": "is in",
    "standing": "valid, current",
    "keeps house": "cleans up",
    "is asked for": "is requested",
    "comes to": "equals, becomes",
    "of its own": "separate",
    "rests on": "depends on",
    "meanwhile": "since then, at the same time",
}
_WORDS: Final = re.compile(
    r"\b(" + "|".join(word.replace(" ", r"\s+") for word in HARD_TO_READ) + r")\b", re.IGNORECASE
)


def findings(root: Path) -> Iterator[str]:
    """Yield a line ``file:line: what to write instead`` for each place in the texts below `root`."""
    for file in sorted({file for pattern in TEXTS for file in root.glob(pattern)}):
        name = file.relative_to(root).as_posix()
        if name.startswith(GENERATED) or name == OWN:
            continue
        text = file.read_text(encoding="utf-8")
        for match in _WORDS.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            word = " ".join(match[1].lower().split())
            yield f"{name}:{line}: {word!r} is hard to read; write instead: {HARD_TO_READ[word]}"


def main() -> int:
    """Print every finding. Returns 0 when there is none, else 1."""
    lines = list(findings(ROOT))
    print("\n".join(lines), end="\n" if lines else "")
    return min(len(lines), 1)


if __name__ == "__main__":
    sys.exit(main())
