"""README shows the demonstration in a picture and lists the absent features."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from placet.cli.commands.server.demo import DEFAULT_SCRIPTS
from placet.cli.scenarios.script import load_script
from placet.v1 import approval_pb2, audit_pb2, authorization_pb2, control_pb2
from tests.docs.blocks import ROOT
from tests.docs.tables import DOCS, by_name, sections

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "README.md"
NOT_YET = sections(README)["Not yet"]
ABSENT = ("retention", "erasure", "console", "HTTP")
"""Features that README lists as absent and that README and CHANGELOG name nowhere else."""


def lines_of(picture: Path) -> set[tuple[str, ...]]:
    """The lines of a terminal picture, each as its cells."""
    cells: dict[str, list[str]] = {}
    for y, text in re.findall(r'y="([\d.]+)"[^>]*>([^<]*)</text>', picture.read_text()):
        cells.setdefault(y, []).extend(re.split(r"\s{2,}", html.unescape(text).replace("\xa0", " ").strip()))
    return {tuple(filter(None, line)) for line in cells.values()}


def test_the_picture_shows_every_step_that_the_demonstration_expects() -> None:
    picture = ROOT / "docs/images/limits.svg"
    assert picture.relative_to(ROOT).as_posix() in README.read_text()
    steps = {tuple(filter(None, (step.name, *step.expected))) for step in load_script(DEFAULT_SCRIPTS[1]).steps}
    assert {effect for _, effect, *_ in steps} >= {"allow", "deny", "require_approval", "refused"}
    missing = steps - lines_of(picture)
    assert not missing, "docs/images/limits.svg is old. Remedy: make pictures"


def test_the_picture_of_two_decisions_shows_the_reasons_of_the_rules() -> None:
    titles = {rule_id: row[2] for rule_id, row in by_name(DOCS / "reference/rule-ids.md", "Shipped packs").items()}
    lines = lines_of(ROOT / "docs/images/decision.svg")
    for rule_id in ("refunds.within_limit", "refunds.over_limit"):
        assert {("rule_id", rule_id), ("reason", titles[rule_id])} <= lines, f"{rule_id} differs. Remedy: make pictures"


def test_absent_features_are_listed_in_one_place() -> None:
    assert [word for word in ABSENT if word not in NOT_YET] == []
    elsewhere = README.read_text().replace(NOT_YET, "") + (ROOT / "CHANGELOG.md").read_text()
    promised = [word for word in ABSENT if re.search(rf"\b{re.escape(word)}s?\b", elsewhere)]
    assert promised == []


def test_absent_features_are_absent() -> None:
    services = {
        name: set(service.methods_by_name)
        for module in (authorization_pb2, approval_pb2, audit_pb2, control_pb2)
        for name, service in module.DESCRIPTOR.services_by_name.items()
    }
    assert services["AuditService"] == {"QueryDecisions", "GetDecision", "VerifyAudit"}, "`Not yet` has to follow"
    assert not (ROOT / "server/placet/web").exists()
