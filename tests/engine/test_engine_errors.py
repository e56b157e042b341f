"""What fails while real OPA evaluates names its builtin, file, line and rule, and nothing that the caller sent."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from placet.actions.document import canonical_request
from placet.decision.policy_input import base_facts, policy_input
from placet.engine.served_revision import Engine, ServedRevision
from placet.kernel.clock import rfc3339
from placet.kernel.model import Action, Identity, Indeterminate, Model, Run, ToolClass
from placet.policy.bundles.bundle import build_bundle
from tests.serving import REGO_DIR

if TYPE_CHECKING:
    from pathlib import Path

PACK = """package policy.extra

import data.placet.lib.finding

# METADATA
# title: It is late
# custom:
#   rule_id: extra.late
deny contains finding(rego.metadata.rule(), {"at": input.action.params.at}) if {
	_late
}

_late if time.parse_rfc3339_ns(input.action.params.at) > 1

# METADATA
# title: It has a size
# custom:
#   rule_id: extra.size
deny contains finding(rego.metadata.rule(), {
	"text": "of no interest",
	"size": units.parse(input.action.params.size),
}) if input.action.params.size
"""


@pytest.mark.parametrize(
    ("params", "builtin", "line", "rule", "rule_id"),
    [
        (b'{"at":"4111111111111111"}', "time.parse_rfc3339_ns", 13, "_late", ""),
        (b'{"size":"4111111111111111 sheep"}', "units.parse", 21, "deny", "extra.size"),
    ],
)
async def test_where_it_failed(
    tmp_path: Path, opa: Path, params: bytes, builtin: str, line: int, rule: str, rule_id: str
) -> None:
    rego_dir = tmp_path / "rego"
    shutil.copytree(REGO_DIR, rego_dir, ignore=shutil.ignore_patterns("*_test.rego"))
    (rego_dir / "policy/extra").mkdir()
    (rego_dir / "policy/extra/extra.rego").write_text(PACK)
    told: list[str] = []
    engine = Engine(opa, tmp_path / "opa.log", 20.0, lambda _rule_id, cause: told.append(cause))
    generation = await ServedRevision.start(build_bundle(rego_dir, opa, tmp_path / "bundles"), engine, 0.0)
    try:
        said = canonical_request(Action("kb.search", params), Identity("bot", "acme"), Run(), Model(), ())
        asked = policy_input(said, base_facts(ToolClass.READ), rfc3339(0))
        [verdict] = await generation.evaluate([asked])
        assert generation.where("extra.size") == "policy/extra/extra.rego:18"
    finally:
        await generation.stop()
    assert isinstance(verdict, Indeterminate)
    assert verdict.rule_id == "pdp.engine_error"
    named = {"rule_id": rule_id} if rule_id else {}
    assert verdict.details == {
        "code": "eval_builtin_error",
        "builtin": builtin,
        "file": "policy/extra/extra.rego",
        "line": line,
        "rule": rule,
        **named,
    }
    assert "4111" not in str(verdict.details)
    assert builtin in told[0]
