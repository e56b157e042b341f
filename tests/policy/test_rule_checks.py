from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from placet.policy.checks.check import check
from placet.policy.toolchain.compile import FORBIDDEN_BUILTINS
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from pathlib import Path

PACK = "policy/extra/extra.rego"
HEAD = "package policy.extra\n\nimport data.placet.lib.finding\n\n"
BARE = "package policy.extra\n\n"
IDIOM = "contains finding(rego.metadata.rule(), {...}) if { ... }"
NO_SET = " is not collected as a finding (write {} contains finding(rego.metadata.rule(), {{...}}) if {{ ... }})"
HELPER = "require_approval? If it is a helper, begin its name with an underscore: _"
DEEP = "is not a pack, so its rules would not be collected (a pack is one folder:"
FORM = "write letters, digits and _ in parts joined by dots, a letter first, at most 128 characters"


def metadata(rule_id: str, title: str = "A reason") -> str:
    return f"# METADATA\n# title: {title}\n# custom:\n#   rule_id: {rule_id}\n"


def found(rego_dir: Path, opa: Path, step: str = "rules") -> list[str]:
    steps = {s.name: s for s in check(rego_dir, opa, None, skip_lint=True)}
    assert not steps[step].skipped
    return [str(problem).removeprefix(f"{rego_dir}/") for problem in steps[step].problems]


def write(rego_dir: Path, text: str, name: str = PACK) -> None:
    path = rego_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def rule(head: str, rule_id: str = "extra.one") -> str:
    return HEAD + metadata(rule_id) + head + ' if input.action.tool == "x"\n'


GOOD = "deny contains finding(rego.metadata.rule(), {})"


@pytest.mark.parametrize("effect", ["deny", "require_approval", "allow"])
@pytest.mark.parametrize("rule_id", ["extra.one", "EXTRA_ONE_2", "a.B.c_3"])
def test_the_idiom_passes(rego_dir: Path, opa: Path, effect: str, rule_id: str) -> None:
    details = '{"quorum": 1, "approver_roles": []}' if effect == "require_approval" else "{}"
    write(rego_dir, rule(GOOD.replace("deny", effect).replace("{}", details), rule_id))
    assert found(rego_dir, opa) == []


def test_the_finding_may_be_made_in_the_body(rego_dir: Path, opa: Path) -> None:
    body = 'deny contains found if {\n\tinput.action.tool == "x"\n\tfound := finding(rego.metadata.rule(), {})\n}\n'
    write(rego_dir, HEAD + metadata("extra.one") + body)
    assert found(rego_dir, opa) == []


@pytest.mark.parametrize("rule_id", ["1a", "a..b", "a-b", "a.b.", "'a b'", "x" * 129])
def test_what_is_no_rule_id(rego_dir: Path, opa: Path, rule_id: str) -> None:
    write(rego_dir, rule(GOOD, rule_id))
    plain = rule_id.strip("'")
    assert found(rego_dir, opa) == [f"{PACK}:9: {plain!r} is not a valid rule_id ({FORM})"]


@pytest.mark.parametrize(
    "rule_id",
    ["pdp.mine", "budgets.mine", "limits.loop", "kill_switch.tool", "autonomy.mine", "approvals.used"],
)
def test_ids_of_placet_itself(rego_dir: Path, opa: Path, rule_id: str) -> None:
    write(rego_dir, rule(GOOD, rule_id))
    whose = "pdp., budgets., limits., kill_switch., autonomy., bindings. and some of approvals. are reserved"
    said = f"the rule_id {rule_id} is reserved for Placet (choose another: {whose})"
    assert found(rego_dir, opa) == [f"{PACK}:9: {said}"]


def test_one_id_twice_over_packs(rego_dir: Path, opa: Path) -> None:
    write(rego_dir, rule(GOOD, "refunds.over_limit"))
    taken = f"duplicate rule_id refunds.over_limit, first used at {rego_dir}/{PACK}:9"
    assert found(rego_dir, opa) == [f"policy/refunds/refunds.rego:9: {taken} (give each rule a different rule_id)"]


NOT_ITS_OWN = "its finding does not use rego.metadata.rule(), so it could have another rule_id"
NO_METADATA = (
    "this deny rule has no METADATA of scope rule "
    "(write above it: # METADATA, # title: <reason>, # custom:, #   rule_id: <pack>.<name>)"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + GOOD + " if input.action.tool\n", [f"5: {NO_METADATA}"]),
        (
            HEAD + "# METADATA\n# scope: document\n# title: x\n# custom:\n#   rule_id: a.b\n" + GOOD + "\n",
            [f"10: {NO_METADATA}"],
        ),
        (
            HEAD + "# METADATA\n# description: x\n" + GOOD + " if input.action.tool\n",
            [
                "7: its METADATA has no title of 1 to 1024 characters (write the reason that people read)",
                "7: its METADATA has no custom.rule_id (write # custom: and below it #   rule_id: <pack>.<name>)",
            ],
        ),
        (
            HEAD + "# METADATA\n# title: x\n# custom:\n#   rule_id: 7\n" + GOOD + " if input.action.tool\n",
            ["9: its METADATA has no custom.rule_id (write # custom: and below it #   rule_id: <pack>.<name>)"],
        ),
        (
            rule('deny contains {"rule_id": "other"}').replace("import data.placet.lib.finding\n\n", ""),
            [f"7: {NOT_ITS_OWN} (write deny {IDIOM})"],
        ),
        (
            HEAD + metadata("a.b") + metadata("a.c") + GOOD + " if input.action.tool\n",
            ["13: has more than one METADATA block (keep one)"],
        ),
        (BARE + "default allow := true\n", ["3: default allow" + NO_SET.format("allow")]),
        (BARE + "allow if input.action.tool\n", ["3: allow is not a set, so it" + NO_SET.format("allow")]),
        (BARE + 'deny["x"] := 1\n', ["3: deny.x is not a set, so it" + NO_SET.format("deny")]),
        (BARE + "deny[x] := 1 if some x in input.batch\n", ["3: deny[x] is not a set, so it" + NO_SET.format("deny")]),
        (
            BARE + metadata("a.b") + "deny.more contains 1\n",
            ["7: deny.more is not a set, so it" + NO_SET.format("deny")],
        ),
        (BARE + "deny[input.batch[0]] := 1\n", ["3: deny[...] is not a set, so it" + NO_SET.format("deny")]),
        (BARE + "allow(x) := x\n", ["3: allow is not a set, so it" + NO_SET.format("allow")]),
        (rule(GOOD.replace("deny", "denies")), ["9: denies has a rule_id but is not collected (did you mean deny?)"]),
        (
            rule(GOOD.replace("deny", "blocked")),
            ["9: blocked has a rule_id but is not collected (findings go into deny, require_approval, allow)"],
        ),
        (
            BARE + "requires_approval contains 1 if input.action.tool\n",
            [f"3: the set requires_approval is not collected (did you mean {HELPER}requires_approval)"],
        ),
        (BARE + "_allowed contains 1 if input.action.tool\n\nmissing contains 1\n", []),
        (BARE + "allowed if input.action.tool\n\nhelper(x) := x\n", []),
    ],
)
def test_rules_that_would_be_lost_or_nameless(rego_dir: Path, opa: Path, text: str, said: list[str]) -> None:
    write(rego_dir, text)
    assert found(rego_dir, opa) == [f"{PACK}:{line}" for line in said]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "policy/extra/extra.rego",
            "package policy.other\n",
            "1: the package policy.other does not match its folder policy/extra (write `package policy.extra`)",
        ),
        ("x.rego", "package x\n", "1: the package x does not match its folder . (move it into a folder)"),
        (
            "policy/extra/deep/x.rego",
            "\npackage policy.extra.deep\n",
            f"2: the package policy.extra.deep {DEEP} policy/<pack>)",
        ),
        (
            "policy/x.rego",
            "package policy\n",
            f"1: the package policy {DEEP} policy/<pack>)",
        ),
        (
            "placet/baseline/a/b/x.rego",
            "package placet.baseline.a.b\n",
            f"1: the package placet.baseline.a.b {DEEP} placet/baseline/<pack>)",
        ),
        (
            "tenants/x.rego",
            "package tenants\n",
            "1: the package tenants is in data.tenants, which Placet fills from the tenant files (rename it)",
        ),
        (
            "shared/x.rego",
            "package shared\n\n" + metadata("a.b") + "deny contains 1\n",
            "7: deny has a rule_id but is in no pack (move it to policy/<pack> or placet/baseline/<pack>)",
        ),
    ],
)
def test_modules_in_the_wrong_place(rego_dir: Path, opa: Path, name: str, text: str, said: str) -> None:
    write(rego_dir, text, name)
    assert found(rego_dir, opa) == [f"{name}:{said}"]


def test_a_tree_without_main(rego_dir: Path, opa: Path) -> None:
    (rego_dir / "placet/main/main.rego").unlink()
    (rego_dir / "placet/main/main_test.rego").unlink()
    copy = "copy it from the policy that ships with Placet"
    assert found(rego_dir, opa) == [f"{rego_dir}: has no package placet.main ({copy})"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("policy/evil/data.yaml", "allow: [{rule_id: x}]", "policy/evil: a data file defines policy.evil.allow"),
        ("data.json", '{"policy": {"evil": {"allow": []}}}', "policy/evil: a data file defines policy.evil.allow"),
        (
            "placet/data.json",
            '{"baseline": {"x": {"deny": 1}}}',
            "placet/baseline/x: a data file defines placet.baseline.x.deny",
        ),
    ],
)
def test_data_that_would_count_as_findings(rego_dir: Path, opa: Path, name: str, text: str, said: str) -> None:
    write(rego_dir, text, name)
    assert found(rego_dir, opa) == [f"{said}, which would count as findings of a rule (rename the key)"]


@pytest.mark.parametrize(("name", "text"), [("tenants/data.yaml", "acme: {}"), ("data.json", '{"tenants": {}}')])
def test_data_where_tenants_go(rego_dir: Path, opa: Path, name: str, text: str) -> None:
    write(rego_dir, text, name)
    remedy = "remove it; tenant files are config/<tenant>.yaml"
    assert found(rego_dir, opa) == [
        f"{rego_dir}: a data file defines tenants, which Placet fills from the tenant files ({remedy})"
    ]


def test_other_data_is_let_be(rego_dir: Path, opa: Path) -> None:
    write(rego_dir, '{"policy": 1}', "data.json")
    (rego_dir / "policy/refunds/data.yaml").unlink()
    (rego_dir / "config/acme.yaml").write_text("agent_policy: {}")
    assert "rego_compile_error" not in " ".join(found(rego_dir, opa, "compile"))


@pytest.mark.parametrize("name", sorted(FORBIDDEN_BUILTINS))
def test_a_forbidden_builtin_is_named(rego_dir: Path, opa: Path, name: str) -> None:
    write(rego_dir, f"package policy.extra\n\nx := {name}(1)\n")
    problems = found(rego_dir, opa, "compile")
    assert len(problems) == 1
    said = f"{PACK}:3: the builtin {name} is forbidden because it is nondeterministic ("
    assert problems[0].startswith(said)


def test_forbidden_is_what_opa_calls_nondeterministic(opa: Path) -> None:
    builtins = json.loads(run(opa, ["capabilities", "--current"]).stdout)["builtins"]
    assert {b["name"] for b in builtins if b.get("nondeterministic")} == FORBIDDEN_BUILTINS


def test_capabilities_that_let_in_what_is_forbidden(rego_dir: Path, opa: Path) -> None:
    (rego_dir / "capabilities.json").write_text(run(opa, ["capabilities", "--current"]).stdout)
    assert found(rego_dir, opa, "compile") == [
        *(
            f"capabilities.json: allows the nondeterministic builtin {name} (remove it)"
            for name in sorted(FORBIDDEN_BUILTINS)
        ),
        'capabilities.json: does not deny network access (write "allow_net": [])',
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"builtins": [1]}'])
def test_capabilities_that_are_none(rego_dir: Path, opa: Path, text: str) -> None:
    (rego_dir / "capabilities.json").write_text(text)
    copy = "copy it from the policy that ships with Placet"
    assert found(rego_dir, opa, "compile")[0] == f"capabilities.json: is not a capabilities file of OPA ({copy})"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "package policy.extra\n\nx := nosuch(1)\n",
            "3: nosuch: no such function, and no builtin that capabilities.json allows",
        ),
        (
            "package policy.extra\n\nx := input.action.tol\n",
            "3: input.action.tol: no such field in schemas/input.json (did you mean tool?)",
        ),
        ("package policy.extra\n\nimport data.unused\n", "3: import data.unused unused"),
        ("package policy.extra\n\nx := {\n", "4: unexpected eof token"),
        ("nonsense\n", "1: package expected"),
    ],
)
def test_policy_that_does_not_compile(rego_dir: Path, opa: Path, text: str, said: str) -> None:
    write(rego_dir, text)
    assert f"{PACK}:{said}" in found(rego_dir, opa, "compile")


@pytest.mark.parametrize("name", ["baseline.extra.deny", "baseline.extra.allow", "baseline.extra"])
def test_rules_that_reach_into_the_packs_from_outside_are_refused(rego_dir: Path, opa: Path, name: str) -> None:
    """`main` would collect them, and nothing would have looked at them as findings."""
    finding = '{"rule_id": "extra.one", "reason": "x", "details": {"to": input.action.tool}}'
    write(rego_dir, f"package placet\n\n{name} contains {finding} if input.action.tool\n", "placet/more.rego")
    [problem] = found(rego_dir, opa)
    told = f"placet/more.rego:3: {name} defines a value inside a pack, where it would not be checked as a finding"
    assert problem.startswith(told)
