"""Find files of ``schemas/`` that nothing reads, such as the schema of a tool's params that was put there."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from placet.policy.files.tree import INPUT_SCHEMA, SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.policy.files.tree import PolicyTree


def unused_schemas(tree: PolicyTree) -> Iterator[str]:
    """Yield the schemas that are not of the input, and that no METADATA of a rule names."""
    texts = [content.decode(errors="replace") for content in (*tree.modules.values(), *tree.tests.values())]
    for name in tree.schemas:
        if name != INPUT_SCHEMA and not any(form in text for form in _forms(name) for text in texts):
            yield name


def _forms(name: str) -> tuple[str, str]:
    """Return how METADATA names a schema file: ``schema.a.b`` or ``schema["a"]["b"]``."""
    parts = PurePosixPath(name).relative_to(SCHEMAS).with_suffix("").parts
    return ".".join(("schema", *parts)), "schema" + "".join(f'["{part}"]' for part in parts)
