"""Obligations that rules write out and no decision could deliver: found before serving."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from placet.policy.checks.obligation_checks import obligation_problems
from placet.policy.files.staging import staged
from placet.policy.files.tree import read_tree
from placet.policy.rego.modules import parse_modules
from tests.serving import REGO_DIR

if TYPE_CHECKING:
    from pathlib import Path

PACK = """package policy.extra

import data.placet.lib.finding

# METADATA
# title: The output holds personal data
# custom:
#   rule_id: extra.redact
{effect} contains finding(rego.metadata.rule(), {details}) if {{
	input.action.tool == "crm.read"
	fields := ["email", input.action.tool]
	one := {{"id": "redact_output", "fields": fields}}
	details := {{"obligations": {{}}}}
	count(details) == 1
	count(one) == 2
}}

_obligations := [{{"id": "redact_output"}}]
"""


def problems(tmp_path: Path, opa: Path, details: str, effect: str = "allow") -> list[str]:
    copy = tmp_path / "rego"
    shutil.copytree(REGO_DIR, copy, ignore=shutil.ignore_patterns("*_test.rego"))
    (copy / "policy" / "extra").mkdir()
    (copy / "policy" / "extra" / "extra.rego").write_text(PACK.format(effect=effect, details=details))
    tree = read_tree(copy)
    with staged(tree, tests=False) as stage:
        found = obligation_problems(tree, parse_modules(tree, stage, opa))
        return [str(problem).removeprefix(f"{copy}/") for problem in found]


@pytest.mark.parametrize(
    "details",
    [
        "{}",
        '{"obligations": []}',
        '{"obligations": [{"id": "redact_output"}]}',
        '{"obligations": {{"id": "redact_output"}}}',
        '{"obligations": [{"id": "redact_output", "fields": ["email", null, 1.5, true, {"a": {"b"}}]}]}',
        '{"obligations": [{"id": "redact_output", "fields": fields}, one]}',
        '{"obligations": [{"id": input.action.tool}]}',
        '{"obligations": [{input.action.tool: "x"}]}',
        '{"obligations": [{key: "x" | some key in ["id"]}]}',
        '{"obligations": [one | some x in fields]}',
        '{"obligations": _obligations}',
        '{"obligations": one.fields == 1}',
        '{"obligations": array.concat(_obligations, [one])}',
        '{"observations": []}',
        'object.union({"obligations": 7}, {})',
    ],
)
def test_well_formed_obligations_and_computed_ones_pass(tmp_path: Path, opa: Path, details: str) -> None:
    assert problems(tmp_path, opa, details) == []


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ('{"obligations": "redact_output"}', "details.obligations must be a list of objects with an id"),
        ('{"obligations": null}', "details.obligations must be a list of objects with an id"),
        ('{"obligations": {"id": "redact_output", "fields": fields}}', "details.obligations must be a list"),
        ('{"obligations": {key: 1 | some key in fields}}', "details.obligations must be a list"),
        ('{"obligations": ["redact_output"]}', "details.obligations.0 must be an object with an id"),
        ('{"obligations": [one, [one]]}', "details.obligations.1 must be an object with an id"),
        ('{"obligations": [{"fields": fields}]}', "details.obligations.0.id must be a name"),
        ('{"obligations": [{"id": "Redact", "fields": fields}]}', "details.obligations.0.id must be a name"),
        ('{"obligations": [one, {"id": 7}]}', "details.obligations.1.id must be a name"),
        ("details", "details.obligations must be a list of objects with an id"),
        (
            '{"obligations": [' + ", ".join(f'{{"id": "o{n}"}}' for n in range(17)) + "]}",
            "a decision can have 16 obligations, details.obligations list 17",
        ),
    ],
)
def test_obligations_that_no_decision_could_deliver(tmp_path: Path, opa: Path, details: str, why: str) -> None:
    [problem] = problems(tmp_path, opa, details)
    assert problem.startswith(f"policy/extra/extra.rego:9: extra.redact: {why}")
    assert 'write a list of objects such as {"id": "redact_output", "fields": ["email"]}' in problem


@pytest.mark.parametrize("effect", ["deny", "require_approval", "allow"])
def test_rules_of_every_effect_are_read(tmp_path: Path, opa: Path, effect: str) -> None:
    [problem] = problems(tmp_path, opa, '{"obligations": 7}', effect)
    assert "details.obligations must be a list" in problem


@pytest.mark.parametrize("key", ["obligation", "obligatons", "Obligations"])
def test_a_misspelt_key_is_found(tmp_path: Path, opa: Path, key: str) -> None:
    [problem] = problems(tmp_path, opa, f'{{"{key}": []}}')
    assert f"the details of extra.redact have the key {key}, which Placet does not read" in problem
    assert "did you mean obligations?" in problem
