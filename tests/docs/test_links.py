from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.blocks import ROOT, documents

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`((?:server|rego|proto|tests|deploy|docs)/[\w./-]+)`")
README_LINES_MAX = 120


def anchors(file: Path) -> set[str]:
    """The fragments by which headings of `file` are reached."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", file.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", documents(), ids=lambda file: file.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(FENCED.sub("", document.read_text())):
        if target.startswith("https://"):
            continue
        name, _, fragment = target.partition("#")
        linked = (document.parent / name).resolve() if name else document
        assert linked.exists(), f"{document.name} links to {target}, which is not there"
        assert not fragment or fragment in anchors(linked), f"{document.name} links to {target}: no such heading"


@pytest.mark.parametrize("document", documents(), ids=lambda file: file.name)
def test_paths_that_are_named_exist(document: Path) -> None:
    for path in PATH.findall(document.read_text()):
        places = (ROOT, ROOT / "server/placet")  # the table of packages names them from there
        assert any((place / path).exists() for place in places), f"{document.name} names {path}, which is not there"


def test_every_page_is_listed() -> None:
    index = ROOT / "docs/README.md"
    pages = {page.relative_to(index.parent).as_posix() for page in documents() if page.is_relative_to(index.parent)}
    assert pages - {index.name} <= set(LINK.findall(index.read_text()))


def test_the_readme_is_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES_MAX
