"""Loads scripts of deploy/tools, which is no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

TOOLS = Path(__file__).parents[2] / "deploy/tools"


def load_tool(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the script as a module, imported anew. Its dataclasses need the entry in `sys.modules`."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module
