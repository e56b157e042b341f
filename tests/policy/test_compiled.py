"""What Placet compiles into a bundle gives the same findings as the policy without it."""

from __future__ import annotations

import json
import random
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from placet.actions.document import canonical_request
from placet.decision.policy_input import base_facts, policy_input
from placet.kernel.clock import rfc3339
from placet.kernel.errors import PolicyInvalidError
from placet.kernel.model import Action, Amount, Evidence, Identity, Model, Run, ToolClass
from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.collection_checks import collection_problems
from placet.policy.files.staging import staged
from placet.policy.files.tree import read_tree
from placet.policy.rego.collection import finding_sets
from placet.policy.rego.modules import parse_modules
from placet.policy.rego.tokens import may_define, replaces_data
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from placet.policy.rego.collection import FindingSet, Tools

REGO = Path(__file__).resolve().parents[2] / "rego"
ODD = """package policy.odd

import data.placet.lib
import data.placet.lib.finding as found
import data.placet.lib.finding

# METADATA
# title: |
#   Two "quoted" lines
#   of a title
# custom: {rule_id: odd.negated}
deny contains finding(rego.metadata.rule(), {}) if {
\tinput.action.scope == "odd"
\tnot input.action.tool == "kb.answer"
}

# METADATA
# title: By membership
# custom:
#   rule_id: odd.member
require_approval contains lib.finding(rego.metadata.rule(), {"quorum": 1, "approver_roles": []}) if {
\tinput.action.tool in {"kb.answer", "http.fetch"}
\tinput.action.scope == "odd"
}

# METADATA
# title: On one line
# custom:
#   rule_id: odd.line
allow contains finding(rego.metadata.rule(), {}) if input.action.tool == "kb.answer"

# METADATA
# title: By another rule
# custom:
#   rule_id: odd.helper
deny contains found(rego.metadata.rule(), {"x": input.action.params.none}) if {
\t_odd
\tinput.action.scope == "odd"
}

_odd if input.action.tool == "http.fetch"
"""
SPLIT = """package policy.split

import data.placet.lib.finding

# METADATA
# title: One
# custom:
#   rule_id: split.{name}
deny contains finding(rego.metadata.rule(), {{}}) if {{
\tinput.action.tool == "{tool}"
\tinput.action.scope == "odd"
}}
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped policy with odd packs."""
    root = tmp_path_factory.mktemp("compiled") / "rego"
    shutil.copytree(REGO, root, ignore=shutil.ignore_patterns("*_test.rego"))
    for name, text in {
        "odd/odd.rego": ODD,
        "split/a.rego": SPLIT.format(name="a", tool="kb.answer"),
        "split/b.rego": SPLIT.format(name="b", tool="crm.get_customer"),
    }.items():
        path = root / "policy" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


def requests(count: int) -> list[dict[str, Any]]:
    """Requests of known and unknown tools and tenants, some of them malformed."""
    chance = random.Random(7)
    tools = ["stripe.refund", "kb.answer", "http.fetch", "jira.create_ticket", "deploy.release", "crm.delete_contact"]
    tools += [
        "queue.publish",
        "crm.get_customer",
        "zendesk.reply",
        "github.open_pull_request",
        "erase",
        "placet.canary",
    ]
    made: list[dict[str, Any]] = []
    for _ in range(count):
        action = Action(
            chance.choice(tools),
            chance.choice([b"{}", b'{"project":"OPS","priority":"low"}', b'{"base":"main","service":"billing"}']),
            chance.choice([None, Amount("USD", 4500), Amount("USD", 20000), Amount("XXX", 1)]),
            scope=chance.choice(["", "odd", "jira:write"]),
            environment=chance.choice(["", "production", "staging"]),
            destination=chance.choice(["", "docs.acme.example", "support.mail", "evil.test"]),
            dry_run=chance.random() < 0.3,
        )
        roles = chance.choice([(), ("support_refunds",), ("ticketops",)])
        identity = Identity("a", chance.choice(["acme", "globex", "initech", "nobody"]), "u_1", roles)
        cited = (Evidence("kb://1"),) if chance.random() < 0.5 else ()
        request = canonical_request(action, identity, Run(), Model(), cited)
        facts = base_facts(ToolClass.WRITE)
        if chance.random() < 0.7:
            facts["params_schema"] = {"violations": chance.choice([[], [{"path": "params", "problem": "p"}]])}
        document = json.loads(policy_input(request, facts, rfc3339(1_777_055_581_123_456)))
        if chance.random() < 0.2:
            document["action"]["tool"] = chance.choice([7, None, ["stripe.refund"], {"x": 1}])
        if chance.random() < 0.1:
            document["action"].pop("tool")
        made.append(document)
    return made


def found(opa: Path, bundle: Path, batch: list[dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """The findings of each request by effect, sorted, whichever packs they came from."""
    arguments = ["eval", "--bundle", str(bundle), "--format", "raw", "--stdin-input", "data.placet.main.decisions"]
    answer = json.loads(run(opa, arguments, stdin=json.dumps({"batch": batch}).encode()).stdout)
    return {
        index: {
            effect: sorted(json.dumps(finding, sort_keys=True) for pack in packs for finding in pack)
            for effect, packs in by_effect.items()
        }
        for index, by_effect in answer.items()
    }


def test_the_compiled_policy_finds_what_the_written_one_finds(tree: Path, opa: Path, tmp_path: Path) -> None:
    bundle = build_bundle(tree, opa, tmp_path / "cache")
    plain = tmp_path / "plain"
    with tarfile.open(bundle.path) as archive:
        tenants = archive.extractfile("/tenants/data.json")
        assert tenants is not None
        content = tenants.read()
    with staged(read_tree(tree), tests=False, tenants=content) as stage:
        shutil.copytree(stage, plain)
    (plain / "schemas").rename(tmp_path / "schemas")
    (plain / "capabilities.json").unlink()
    batch = requests(400)
    by_bundle, as_written = found(opa, bundle.path, batch), found(opa, plain, batch)
    assert by_bundle.keys() == {str(index) for index in range(len(batch))}
    for index, request in enumerate(batch):
        written = as_written[str(index)]
        if by_bundle[str(index)] != written:  # the guards of hardening add details that are null
            assert by_bundle[str(index)].keys() == written.keys()
            for effect in ("require_approval", "allow"):
                assert by_bundle[str(index)][effect] == written[effect], request
            ids = [{json.loads(one)["rule_id"] for one in of[str(index)]["deny"]} for of in (by_bundle, as_written)]
            assert ids[0] >= ids[1], request
    fired = {json.loads(one)["rule_id"] for of in by_bundle.values() for ones in of.values() for one in ones}
    assert fired >= {
        *("odd.negated", "odd.member", "odd.line", "odd.helper", "split.a", "split.b", "refunds.within_limit"),
        *("tools.listed_read", "tools.listed_write", "schemas.params_invalid", "allowlist.unlisted_tool"),
        *("dry_run.required", "destinations.not_allowed", "evidence.too_few", "approvals.read_only_mode"),
        *("canary.alive", "deploys.freeze", "tickets.project_not_allowed", "approvals.required"),
    }


def test_the_tools_of_each_set_are_read_from_the_text(tree: Path) -> None:
    sets = finding_sets(read_tree(tree).modules)
    own = {(package[-1], effect): tools for (package, effect), tools in sets.items() if package[0] == "policy"}
    assert own["odd", "deny"] is None
    assert own["odd", "require_approval"] == frozenset({"kb.answer", "http.fetch"})
    assert own["odd", "allow"] == frozenset({"kb.answer"})
    assert own["split", "deny"] == frozenset({"kb.answer", "crm.get_customer"})
    assert own["refunds", "deny"] == frozenset({"stripe.refund"})
    assert ("split", "allow") not in own


@pytest.mark.parametrize(
    "body",
    [
        'not input.action.tool == "a"',
        'not\n\tinput.action.tool == "a"',
        'x := input.action.tool == "a"\n\tx',
        'x :=\n\tinput.action.tool == "a"\n\tx',
        'input.action.tool == "a" with input.action.tool as "a"',
        'input.action.tool == "a"\n\t\twith input.action.tool as "a"',
        '["a", input.action.tool == "a"]',
        'input.action.tool == "a"; true',
        "input.action.tool == input.action.scope",
        'input.action.tool in {"a", input.action.scope}',
        'input.action.tool in {"a": "b"}',
        "input.action.tool in {}",
        'input.action.tool != "a"',
        'startswith(input.action.tool, "a")',
        'input.action.tools == "a"',
        'some input.action.tool in ["a"]',
    ],
)
def test_a_body_of_another_form_is_about_every_tool(body: str) -> None:
    text = f"package policy.p\n\ndeny contains 1 if {{\n\t{body}\n}}\n"
    assert finding_sets({"policy/p/p.rego": text.encode()}) == {(("policy", "p"), "deny"): None}


def test_a_set_that_is_about_more_tools_than_it_seems_is_refused(rego_dir: Path, opa: Path) -> None:
    tree = read_tree(rego_dir)
    with staged(tree, tests=False) as stage:
        modules = parse_modules(tree, stage, opa)
    assert list(collection_problems(tree, modules)) == []
    refunds: FindingSet = (("policy", "refunds"), "deny")
    wrongs: list[dict[FindingSet, Tools]] = [{}, {refunds: frozenset()}, {refunds: frozenset({"look"})}]
    for wrong in wrongs:
        [problem] = collection_problems(tree, modules, wrong)
        assert problem.where.endswith("policy/refunds/refunds.rego:9")
        assert problem.what == "the findings of this deny would not be collected for every tool"
    assert list(collection_problems(tree, modules, {refunds: None})) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("placet/compiled/mine.rego", "package placet.compiled\n\nx := 1\n"),
        ("placet/compiled/data.yaml", "tools: {acme: {}}\n"),
        ("placet/data.yaml", "compiled: {tools: {}}\n"),
        ("placet/data.yaml", "compiled: null\n"),
        ("data.yaml", "placet: {compiled: null}\n"),
        ("placet/compiled/more/data.json", "{}"),
    ],
)
def test_no_file_may_define_what_placet_compiles(
    rego_dir: Path, opa: Path, tmp_path: Path, name: str, content: str
) -> None:
    path = rego_dir / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(content)
    with pytest.raises(PolicyInvalidError, match=r"placet\.compiled, which Placet adds to the bundle") as refused:
        build_bundle(rego_dir, opa, tmp_path / "cache")
    assert [problem.where for problem in refused.value.problems] == [f"{path}:1"]


LIMITED = """package policy.odd

import data.placet.lib
import data.placet.lib.finding
{imports}
# METADATA
# title: The amount has a limit
# custom:
#   rule_id: odd.limited
deny contains finding(rego.metadata.rule(), {{}}) if {{
\tinput.action.tool == "stripe.refund"
\t{body}
}}
"""
DEFAULTS = {"policy/odd/data.yaml": "defaults: {soft: 1, hard: 2, limits: {EUR: 50}}\n"}
ABOVE_LIMIT = 'input.action.amount.minor_units > lib.pack_config("odd").limits.USD'
READ_ONLY = '{"overriding": {"write_tools": ["stripe.refund"], "default_mode": "read_only"}}'


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the shipped policy without tests."""
    return Path(shutil.copytree(REGO, tmp_path / "rego", ignore=shutil.ignore_patterns("*_test.rego")))


def odd_pack(body: str = ABOVE_LIMIT, imports: str = "", rules: str = "") -> dict[str, str]:
    return {**DEFAULTS, "policy/odd/odd.rego": LIMITED.format(body=body, imports=imports) + rules}


def limited(shipped: Path, opa: Path, cache: Path, files: dict[str, str]) -> tuple[bool, dict[str, Any]]:
    """Whether odd.limited denies a tenant that overrides a setting of the pack, and what was compiled."""
    tenant = {"default_mode": "read_write", "write_tools": ["stripe.refund"], "packs": {"odd": {"soft": 3}}}
    for name, text in {**files, "config/overriding.yaml": json.dumps({"agent_policy": tenant})}.items():
        path = shipped / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    bundle = build_bundle(shipped, opa, cache)
    action = Action("stripe.refund", b"{}", Amount("USD", 500))
    request = canonical_request(action, Identity("a", "overriding", "u_1", ()), Run(), Model(), ())
    document = json.loads(policy_input(request, base_facts(ToolClass.WRITE), rfc3339(1_777_055_581_123_456)))
    ids = [json.loads(finding)["rule_id"] for finding in found(opa, bundle.path, [document])["0"]["deny"]]
    with tarfile.open(bundle.path) as archive:
        compiled = archive.extractfile("/placet/compiled/data.json")
        assert compiled is not None
        return "odd.limited" in ids, json.loads(compiled.read())


@pytest.mark.parametrize(
    "more",
    [
        {"policy/data.yaml": "odd: {defaults: {limits: {USD: 100}}}\n"},
        {"data.yaml": "policy: {odd: {defaults: {limits: {USD: 100}}}}\n"},
        {"policy/odd/defaults/data.yaml": "limits: {USD: 100}\n"},
        {"policy/odd/defaults/limits/data.json": '{"USD": 100}'},
    ],
    ids=lambda more: next(iter(more)),
)
def test_compiled_settings_have_the_defaults_of_every_data_file(
    shipped: Path, opa: Path, tmp_path: Path, more: dict[str, str]
) -> None:
    denied, compiled = limited(shipped, opa, tmp_path / "cache", {**odd_pack(), **more})
    assert denied
    settings = {"soft": 3, "hard": 2, "limits": {"EUR": 50, "USD": 100}}
    assert compiled["packs"]["overriding"] == {"odd": settings}


@pytest.mark.parametrize(
    "rule",
    [
        "defaults.limits.USD := 100",
        'defaults["limits"].USD := 100 if true',
        "default defaults.limits.USD := 100",
    ],
)
def test_settings_with_defaults_of_a_rule_are_not_compiled(shipped: Path, opa: Path, tmp_path: Path, rule: str) -> None:
    denied, compiled = limited(shipped, opa, tmp_path / "cache", odd_pack(rules=f"\n{rule}\n"))
    assert denied
    assert compiled["packs"]["overriding"] == {}
    assert compiled["tools"]["overriding"]


@pytest.mark.parametrize(
    ("body", "imports"),
    [
        (f"lib.approval_required == true with data.tenants as {READ_ONLY}", ""),
        (f"lib.approval_required == true with data.tenants as {READ_ONLY} with input.x as 1", ""),
        (f"lib.approval_required == true with input.x as 1 with # and\n\t\tdata.tenants as {READ_ONLY}", ""),
        (f"lib.approval_required == true with files as {READ_ONLY}", "import data.tenants as files\n"),
        ('lib.pack_config("odd").hard == 9 with data.policy.odd.defaults.hard as 9', ""),
    ],
)
def test_no_settings_are_compiled_when_a_rule_replaces_data(
    shipped: Path, opa: Path, tmp_path: Path, body: str, imports: str
) -> None:
    denied, compiled = limited(shipped, opa, tmp_path / "cache", odd_pack(body, imports))
    assert denied
    assert (compiled["tools"], compiled["packs"]) == ({}, {})
    assert compiled["groups"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x if y with data.a as 1", True),
        ("x if y with a as 1", True),
        ("x if y with input as 1 with\n\tdata as 1", True),
        ('x := $"{y with data.a as 1}"', True),
        ("x := $`\\{`\ny if z with input.a as `}`", True),
        ("x if y with input.a as 1", False),
        ("x if y with input as 1 # with data.a as 1", False),
        ('x := "with data.a as 1"', False),
    ],
)
def test_a_module_replaces_data_by_with(text: str, *, expected: bool) -> None:
    assert replaces_data(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("defaults := {}", True),
        ("x := 1\ndefaults[y] := 1", True),
        ("default defaults := {}", True),
        ("x := $`\\{ `\ndefaults := `}`", True),
        ("x := data.policy.p.defaults # defaults", False),
        ('x := {"defaults": 1}', False),
    ],
)
def test_a_module_may_define_a_rule(text: str, *, expected: bool) -> None:
    assert may_define(text, "defaults") is expected
