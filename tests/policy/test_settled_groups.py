"""Leaving out the sets of findings that a tool's settings rule out never changes the findings.

Random tenants, tools and requests are decided twice: by the sets that Placet chose at build time, and by all of them.
"""

from __future__ import annotations

import json
import random
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from placet.policy.bundles import groups
from placet.policy.bundles.bundle import build_bundle
from placet.policy.bundles.groups import groups_of, narrowed
from placet.policy.rego.tool_conditions import ToolCondition
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from placet.policy.bundles.bundle import Bundle
    from placet.policy.rego.collection import FindingSet, Tools

REGO = Path(__file__).resolve().parents[2] / "rego"
TOOLS = ("stripe.refund", "jira.create_ticket", "deploy.release", "kb.answer", "a.read", "a.write", "b.write")
TENANTS = tuple(f"tenant{number}" for number in range(40))
LINES = (
    "lib.tool.evidence",
    "lib.tool.params_schema",
    "not lib.tool.class",
    "not lib.tool.destinations",
    'lib.tool.class == "write"',
    'lib.tool.class == "no class"',
    "lib.tool.approval_required == true",
    "lib.tool.approval_required == false",
    "not is_boolean(lib.tool.approval_required)",
    "not is_boolean(lib.tool.class)",
    "lib.tool.environments\n\tnot lib.tool.approval",
    'input.action.tool == "a.write"\n\tlib.tool.evidence',
    "not lib.tool.class == input.action.scope",
    "lib.is_write_tool",
)
RULE = """
# METADATA
# title: One rule
# custom:
#   rule_id: {pack}.rule_{number}
{effect} contains lib.finding(rego.metadata.rule(), {{}}) if {{
\tinput.facts
\t{line}
}}
"""
CHOSEN_AND_ALL = """[[chosen, whole] |
    some request in input.batch
    chosen := data.placet.compiled.findings with input as request
    whole := data.placet.compiled.by_group.every with input as request
]"""


def own_packs(chance: random.Random) -> dict[str, str]:
    """Packs whose rules have the lines, one to three in each set."""
    packs = {}
    for number in range(12):
        pack = f"own{number}"
        rules = [
            RULE.format(pack=pack, number=each, effect=chance.choice(("deny", "allow")), line=chance.choice(LINES))
            for each in range(chance.randint(1, 3))
        ]
        packs[f"policy/{pack}/{pack}.rego"] = f"package policy.{pack}\n\nimport data.placet.lib\n{''.join(rules)}"
    return packs


def tenant_file(chance: random.Random) -> dict[str, Any]:
    """A tenant's file with any of the settings of tools."""

    def some(tools: list[str]) -> list[str]:
        return [tool for tool in tools if chance.random() < 0.3]

    reads = some(list(TOOLS))
    writes = [tool for tool in TOOLS if tool not in reads and chance.random() < 0.6]
    listed = [*reads, *writes]
    policy: dict[str, Any] = {
        "default_mode": chance.choice(("read_only", "read_write")),
        "allowed_tools": reads,
        "write_tools": writes,
        "approvals": {tool: chance.choice(("required", "not_required")) for tool in some(listed)},
        "destinations": {tool: ["*.example"] for tool in some(listed)},
        "evidence": {tool: {"min_items": 1} for tool in some(listed)},
        "dry_run": {"required": some(writes), "waives_approval": some(writes)},
        "tools": {tool: {"params_schema": {"type": "object"}} for tool in some(listed)},
    }
    if chance.random() < 0.4:
        policy["environments"] = {"write": ["staging"]}
    return {"agent_policy": policy}


def request(chance: random.Random, tenant: object, tool: object) -> dict[str, Any]:
    return {
        "action": {
            "tool": tool,
            "params": {},
            "destination": chance.choice(("", "a.example", "evil.test")),
            "environment": chance.choice(("", "staging", "production")),
            "dry_run": chance.random() < 0.4,
            "amount": chance.choice((None, {"currency_code": "USD", "minor_units": chance.choice((1, 20_000))})),
        },
        "identity": {"tenant": tenant, "roles": chance.choice(([], ["support_refunds"]))},
        "evidence": chance.choice(([], [{"uri": "kb://1"}])),
        "facts": chance.choice(({}, {"params_schema": {"violations": chance.choice(([], [{"path": "p"}]))}})),
        "now": "2026-04-24T18:33:01.123456Z",
    }


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, opa: Path) -> Bundle:
    """The shipped packs and own ones, for random tenants."""
    chance = random.Random(11)
    root = tmp_path_factory.mktemp("settled") / "rego"
    shutil.copytree(REGO, root, ignore=shutil.ignore_patterns("*_test.rego", "config"))
    files = own_packs(chance) | {f"config/{each}.yaml": json.dumps(tenant_file(chance)) for each in TENANTS}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return build_bundle(root, opa, root.parent / "cache")


def compiled_data(bundle: Bundle) -> dict[str, Any]:
    with tarfile.open(bundle.path) as archive:
        content = archive.extractfile("/placet/compiled/data.json")
        assert content is not None
        found: dict[str, Any] = json.loads(content.read())
        return found


def both(opa: Path, bundle: Path, batch: list[dict[str, Any]], more: str = "") -> list[tuple[Any, Any]]:
    """The findings of each request by the chosen sets, and by all sets."""
    query = CHOSEN_AND_ALL.replace("findings with", f"findings {more} with")
    arguments = ["eval", "--bundle", str(bundle), "--format", "raw", "--stdin-input", query]
    ended = run(opa, arguments, stdin=json.dumps({"batch": batch}).encode())
    assert ended.exit_code == 0, ended.message
    answer = json.loads(ended.stdout)
    return [(flat(chosen), flat(every)) for chosen, every in answer]


def flat(by_effect: dict[str, list[list[Any]]]) -> dict[str, list[str]]:
    return {
        effect: sorted(json.dumps(finding, sort_keys=True) for found in sets for finding in found)
        for effect, sets in by_effect.items()
    }


def test_the_chosen_sets_find_what_all_sets_find(bundle: Bundle, opa: Path) -> None:
    chance = random.Random(12)
    tenants, tools = [*TENANTS, "nobody", "", None, 7], [*TOOLS, "unknown", "placet.canary", None, 7, ["a.read"]]
    batch = [request(chance, tenant, tool) for tenant in tenants for tool in tools for _ in range(3)]
    answers = both(opa, bundle.path, batch)
    assert len(answers) == len(batch)
    for each, (chosen, every) in zip(batch, answers, strict=True):
        assert chosen == every, each
    fired = {
        json.loads(one)["rule_id"].split(".")[0] for _, every in answers for ones in every.values() for one in ones
    }
    assert fired >= {"destinations", "dry_run", "environments", "evidence", "schemas", "approvals", "allowlist"}


def test_most_listed_tools_are_asked_for_fewer_sets(bundle: Bundle) -> None:
    of_tenant = compiled_data(bundle)["tenant_groups"]
    names = [name for tools in of_tenant.values() for name in tools.values()]
    assert of_tenant.keys() == set(TENANTS)
    assert sum(name.startswith("settled_") for name in names) > len(names) // 2


UNKNOWN_NAMES = {tenant: dict.fromkeys(TOOLS, "no such group") for tenant in TENANTS}


@pytest.mark.parametrize(
    "wrong", [{}, None, 7, {"tenant0": 7}, UNKNOWN_NAMES], ids=["empty", "null", "number", "no tools", "unknown names"]
)
def test_without_an_index_all_sets_about_the_tool_are_asked(bundle: Bundle, opa: Path, wrong: object) -> None:
    chance = random.Random(13)
    batch = [request(chance, tenant, tool) for tenant in TENANTS[:5] for tool in TOOLS]
    answers = both(opa, bundle.path, batch, f"with data.placet.compiled.tenant_groups as {json.dumps(wrong)}")
    assert [chosen for chosen, _ in answers] == [every for _, every in answers]
    assert len(answers) == len(batch)


def test_rare_groups_are_left_to_the_tool_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    sets: dict[FindingSet, Tools] = {(("policy", key), "deny"): None for key in "abc"}
    conditions = {each: [frozenset({ToolCondition(each[0][1])})] for each in sets}
    tools = {"t": {"one": {"a": 1}, "two": {"b": 1}, "three": {"a": 1}, "all": {"a": 1, "b": 1, "c": 1}}}
    whole = narrowed(groups_of(sets), conditions, tools.items())
    assert whole.of_tenant["t"].keys() == tools["t"].keys()
    assert whole.named[whole.of_tenant["t"]["all"]] == set(sets)
    monkeypatch.setattr(groups, "REFERENCES_MAX", 1)
    few = narrowed(groups_of(sets), conditions, tools.items())
    assert few.of_tenant["t"].keys() == {"one", "three", "all"}
    assert few.named[few.of_tenant["t"]["one"]] == {(("policy", "a"), "deny")}
