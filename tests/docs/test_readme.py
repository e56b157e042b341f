"""What README shows of `make run` is what the demonstration says, and what is not there yet is called so."""

from __future__ import annotations

import re

from placet.cli.commands.server.demo import DEFAULT_SCRIPTS
from placet.cli.scenarios.script import load_script
from placet.v1 import approval_pb2, audit_pb2, authorization_pb2, control_pb2
from tests.docs.blocks import ROOT, blocks
from tests.docs.tables import sections

README = ROOT / "README.md"
NOT_YET = sections(README)["Not yet"]
ABSENT = ("retention", "erasure", "console", "HTTP", "authentication")
"""What no document but those of the plan may promise; each with its word in README's list."""
EXCERPT_ROWS_MIN = 5


def test_the_excerpt_is_what_the_demonstration_expects() -> None:
    scripts = [load_script(ROOT / file) for file in DEFAULT_SCRIPTS]
    steps = {(step.name, *step.expected) for script in scripts for step in script.steps}
    [excerpt] = [block.text for block in blocks(README) if block.text.startswith("action ")]
    shown = [tuple(re.split(r"\s{2,}", line.strip())) for line in excerpt.splitlines()[1:] if line.strip()]
    assert len(shown) >= EXCERPT_ROWS_MIN
    assert {effect for _, effect, _ in shown} == {"allow", "deny", "require_approval", "refused"}
    assert set(shown) <= steps


def test_what_is_not_there_yet_is_said_in_one_place() -> None:
    assert [word for word in ABSENT if word not in NOT_YET] == []
    elsewhere = README.read_text().replace(NOT_YET, "") + (ROOT / "CHANGELOG.md").read_text()
    promised = [word for word in ABSENT if re.search(rf"\b{re.escape(word)}s?\b", elsewhere)]
    assert promised == []


def test_it_is_not_there_yet() -> None:
    services = {
        name: set(service.methods_by_name)
        for module in (authorization_pb2, approval_pb2, audit_pb2, control_pb2)
        for name, service in module.DESCRIPTOR.services_by_name.items()
    }
    assert services["AuditService"] == {"QueryDecisions", "GetDecision", "VerifyAudit"}, "`Not yet` has to follow"
    assert not (ROOT / "server/placet/web").exists()
