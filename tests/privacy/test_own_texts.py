"""Redaction hides no part of Placet's own texts: a log that hides its remedies helps nobody."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import placet
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(placet.__file__).parent
GENERATED = SOURCE / "v1"
EXAMPLES = {"postgresql://placet@db.internal/placet", "whsec_cGxlYXNlIG1ha2Ugb25lIG9mIHlvdXIgb3du"}
"""Examples of settings. They look like what they are examples of, and no log has them."""
INSERTED = "word"
"""Stands for what a text is completed with."""


def own_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and content of each text in a module that is no docstring."""
    nodes = list(ast.walk(ast.parse(source)))
    no_texts = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    no_texts |= {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) in no_texts:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (str(part.value) if isinstance(part, ast.Constant) else INSERTED for part in node.values)
            yield node.lineno, "".join(parts)


def test_redaction_leaves_every_own_text_as_it_is() -> None:
    hidden = [
        f"{path.relative_to(SOURCE)}:{line}: {redact_text(text)}"
        for path in SOURCE.rglob("*.py")
        if GENERATED not in path.parents
        for line, text in own_texts(path.read_text())
        if text not in EXAMPLES and redact_text(text) != text
    ]
    assert hidden == []


def test_a_text_that_would_be_hidden_is_found() -> None:
    source = 'def f(name):\n    "password: a docstring"\n    raise ValueError(f"{name}.token: is cut off")\n'
    assert list(own_texts(source)) == [(3, "word.token: is cut off")]
    assert redact_text("word.token: is cut off") != "word.token: is cut off"
