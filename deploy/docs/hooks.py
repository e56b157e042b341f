"""Hooks of the documentation site.

They add pages for files outside of docs, and draw diagrams with a local copy of Mermaid, which deploy/tools/mermaid.sh
downloads. Without the copy, the site shows diagrams as text. In no case does it load a script from the network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File, Files
from pymdownx.superfences import fence_code_format

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
MERMAID: Final = ROOT / ".tools/mermaid/mermaid.min.js"
MERMAID_URI: Final = "assets/mermaid.min.js"
PAGES: Final = {
    "project/changelog.md": ROOT / "CHANGELOG.md",
    "project/contributing.md": ROOT / ".github/CONTRIBUTING.md",
    "project/security.md": ROOT / ".github/SECURITY.md",
}
"""Page of the site -> file outside of docs that it shows."""
SOURCES: Final = {file: page for page, file in PAGES.items()}
LINK: Final = re.compile(r"(\]\()(?!https?:|#)([^)\s#]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Draw diagrams if there is a local copy of Mermaid."""
    if MERMAID.is_file():
        fence = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
        config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fence]}
        config.extra_javascript.append(MERMAID_URI)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of PAGES, and the copy of Mermaid if there is one."""
    for page, file in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(file)))
    if MERMAID.is_file():
        files.append(File.generated(config, MERMAID_URI, abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs' own names
    """Rewrite links between docs and the files of the project to links between pages."""
    page_uri = page.file.src_uri
    source = PAGES.get(page_uri, DOCS / page_uri)

    def rewritten(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / match[2]))
        uri = SOURCES.get(target) or os.path.relpath(target, DOCS)
        return match[1] + os.path.relpath(uri, Path(page_uri).parent)

    return LINK.sub(rewritten, markdown)
