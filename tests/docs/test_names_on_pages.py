"""Code, metrics and log events that documents name exist."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.blocks import documents
from tests.docs.tables import DOCS, by_name

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [DOCS / "architecture.md", DOCS / "why.md", DOCS / "concepts/decision-flow.md"]
ERRORS = DOCS / "reference/errors.md"
NAME = re.compile(r"`(placet(?:\.\w+)+)`")
METRIC = re.compile(r"`(placet_\w+?)(?:_total)?(?:\{[^`]*\})?`")
ROLES = {"placet_owner", "placet_writer"}
"""Roles in PostgreSQL, whose names look like those of metrics."""
LOG_EVENTS = re.compile(r"log events? ((?:`(?!placet )[^`]+`(?: and )?)+)")


def exists(name: str) -> bool:
    """Whether `name` is a module, or an attribute of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in NAME.findall(page.read_text()) if not exists(name)] == []


@pytest.mark.parametrize("document", documents(), ids=lambda file: file.name)
def test_metrics_and_log_events_that_a_document_names_exist(document: Path) -> None:
    text = " ".join(document.read_text().split())
    assert set(METRIC.findall(text)) - ROLES <= by_name(ERRORS, "Metrics").keys()
    events = {event for listed in LOG_EVENTS.findall(text) for event in re.findall(r"`([^`]+)`", listed)}
    assert events <= by_name(ERRORS, "Log events").keys()
