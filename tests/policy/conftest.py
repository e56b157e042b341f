"""A small policy tree that is right in every respect, for tests to spoil."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from placet.policy.toolchain.binary import find_opa
from placet.policy.toolchain.compile import FORBIDDEN_BUILTINS
from placet.policy.toolchain.process import run

MAIN = """package placet.main

findings contains f if {
\tsome pack in data.policy
\tsome f in pack.deny
}

decisions[i] := {"findings": findings} if some i, _ in input.batch
"""
MAIN_TEST = """package placet.main_test

import data.placet.main

test_batch if {
\tfound := main.decisions with input as {"batch": [1], "action": {"tool": "pay", "amount": {"minor_units": 900}}}
\tcount(found[0].findings) == 1
}
"""
LIB = """package placet.lib

finding(rule, details) := {"rule_id": rule.custom.rule_id, "reason": rule.title, "details": details}
"""
REFUNDS = """package policy.refunds

import data.placet.lib.finding

# METADATA
# title: A refund above the limit needs a person
# custom:
#   rule_id: refunds.over_limit
deny contains finding(rego.metadata.rule(), {}) if {
\tinput.action.tool == "pay"
\tinput.action.amount.minor_units > data.policy.refunds.defaults.limit_minor_units
}
"""
REFUNDS_TEST = """package policy.refunds_test

import data.policy.refunds

test_over_limit if {
\tcount(refunds.deny) == 1 with input as {"action": {"tool": "pay", "amount": {"minor_units": 101}}}
}
"""
DEFAULTS = """defaults:
  limit_minor_units: 100
  share: 0.1
  roles: [lead]
  per_currency: {USD: 1, EUR: 2}
  window: {from: "2026-12-20", days: 3}
  label: text
  enabled: true
  anything: null
  free: {}
"""
TENANT = """agent_policy:
  allowed_tools: [look]
  write_tools: [pay]
  approvals: {pay: required}
  tools:
    pay:
      params_schema: {type: object, properties: {to: {type: string, pattern: "^a+$"}}, required: [to]}
      sensitive: [/to]
  destinations: {pay: ["*.example.com"]}
  packs: {refunds: {limit_minor_units: 50, share: 0.25}}
"""
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "batch": {"type": "array"},
        "action": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "tool": {"type": "string"},
                "amount": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"minor_units": {"type": "integer"}},
                },
            },
        },
    },
}


@pytest.fixture(scope="session")
def opa() -> Path:
    return find_opa().path


@pytest.fixture(scope="session")
def regal() -> Path:
    """Regal, which checks style; the tests that run it need it installed."""
    found = shutil.which("regal") or str(Path(".tools/bin/regal").absolute())
    if not Path(found).is_file():
        pytest.fail("regal is not installed. Remedy: make setup")
    return Path(found)


@pytest.fixture(scope="session")
def capabilities(opa: Path) -> bytes:
    """All that OPA offers, without what is forbidden."""
    found = json.loads(run(opa, ["capabilities", "--current"]).stdout)
    found["builtins"] = [b for b in found["builtins"] if b["name"] not in FORBIDDEN_BUILTINS]
    return json.dumps({**found, "allow_net": []}).encode()


@pytest.fixture
def rego_dir(tmp_path: Path, capabilities: bytes) -> Path:
    """A policy tree with one pack and one tenant that passes every step but lint."""
    root = tmp_path / "rego"
    files = {
        "placet/main/main.rego": MAIN,
        "placet/main/main_test.rego": MAIN_TEST,
        "placet/lib/lib.rego": LIB,
        "policy/refunds/refunds.rego": REFUNDS,
        "policy/refunds/refunds_test.rego": REFUNDS_TEST,
        "policy/refunds/data.yaml": DEFAULTS,
        "config/acme.yaml": TENANT,
        "schemas/input.json": json.dumps(SCHEMA),
        "capabilities.json": capabilities.decode(),
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root
