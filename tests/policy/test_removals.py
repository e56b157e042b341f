"""What a new policy lost against the served one: found for every place at which a file can be cut off."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from placet.kernel.errors import PolicyInvalidError
from placet.policy.bundles.removals import find_removals
from placet.policy.files.strict_yaml import read_yaml
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import digest_of, read_tree, tree_of
from placet.revisions.removals import lost_restrictions, missing_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from placet.policy.files.tree import PolicyTree

REGO = Path(__file__).parents[2] / "rego"
FILE = "config/acme.yaml"
WITHIN_LINES = 23
"""Bytes between the places within lines at which a file is cut off. At the ends of lines it is cut off at each."""


def changed(tree: PolicyTree, name: str, content: bytes | None) -> PolicyTree:
    files = {**tree.deciding}
    if content is None:
        del files[name]
    else:
        files[name] = content
    return tree_of(tree.root, files)


def of_acme() -> PolicyTree:
    """The shipped policies with one tenant, who configures neither refunds nor tickets."""
    tree = read_tree(REGO)
    return dataclasses.replace(tree, tenants={FILE: tree.tenants[FILE]})


def lost(served: PolicyTree, new: PolicyTree, tenants: Mapping[str, bytes] | None = None) -> tuple[str, ...]:
    """As the server asks, with what means the same left out."""
    before, after = parse_tenants(served), parse_tenants(new)
    same = frozenset(f"config/{tenant}.yaml" for tenant in after if before.get(tenant) == after[tenant])
    return find_removals(served, new, tenants or served.tenants, same)


@pytest.mark.parametrize("name", sorted(path.name for path in (REGO / "config").glob("*.yaml")))
def test_a_tenants_file_that_is_cut_off_anywhere_is_refused_or_asked_about_or_means_the_same(name: str) -> None:
    tree, file = read_tree(REGO), f"config/{name}"
    whole = tree.tenants[file]
    served = dataclasses.replace(tree, tenants={file: whole})
    before = parse_tenants(served)
    asked = 0
    ends = {at + beside for at, each in enumerate(whole) if each == ord("\n") for beside in (-1, 0, 1)}
    for left, new in cut_off(served, file, whole, sorted(ends | set(range(0, len(whole), WITHIN_LINES)))):
        if parse_tenants(new) != before:
            assert lost(served, new), f"cut off after {len(left)} bytes: {left[-60:]!r}"
            asked += 1
    assert asked > 40


def cut_off(tree: PolicyTree, file: str, content: bytes, lengths: Iterable[int]) -> Iterator[tuple[bytes, PolicyTree]]:
    """What is left of a tenant's file that is cut off there, and the policy with it, where that can be served."""
    for length in lengths:
        left = content[:length]
        try:
            new = changed(tree, file, left)
            parse_tenants(new)
        except PolicyInvalidError:
            continue
        yield left, new


VALUES = re.compile(rb"(?P<before>(?:min|max|limit)\w*: ?)(?P<value>[0-9]+)|(?P<tool>- \w+[.]\w+)\n")
"""What a change of a shipped file may be: another number, or the name of another tool."""


def with_another_value(content: bytes, nth: int) -> tuple[bytes, int]:
    """The file with the nth of its values changed, and where."""
    found = [*VALUES.finditer(content)][nth]
    number, tool = found["value"], found["tool"]
    new = (
        found["before"] + b"%d" % (int(number) + 1) if number else tool + b"\n" + found[0].replace(tool, b"    - x.new")
    )
    return content[: found.start()] + new + content[found.end() :], found.start() + len(new)


@pytest.mark.parametrize("name", sorted(path.name for path in (REGO / "config").glob("*.yaml")))
def test_a_tenants_file_that_is_cut_off_and_changed_before_is_asked_about(name: str) -> None:
    tree, file = read_tree(REGO), f"config/{name}"
    whole = tree.tenants[file]
    served = dataclasses.replace(tree, tenants={file: whole})
    asked = 0
    values = len([*VALUES.finditer(whole)])
    for nth in sorted({0, values // 2, values - 1}):
        edited, at = with_another_value(whole, nth)
        of_whole = parse_tenants(changed(served, file, edited))
        assert of_whole != parse_tenants(served)
        assert lost(served, changed(served, file, edited)) == ()
        ends = (place for place in range(at, len(edited)) if edited[place : place + 1] == b"\n")
        for left, new in cut_off(served, file, edited, ends):
            if parse_tenants(new) != of_whole:
                assert lost(served, new), f"changed at {at} and cut off after {len(left)}: {left[-60:]!r}"
                asked += 1
    assert asked > 5


@pytest.mark.parametrize("name", ["policy/refunds/refunds.rego", "policy/refunds/data.yaml"])
def test_a_pack_that_is_cut_off_is_asked_about(name: str) -> None:
    served = of_acme()
    whole = served.deciding[name]
    for length in range(0, len(whole) - 2, 37):
        try:
            new = changed(served, name, whole[:length])
        except PolicyInvalidError:
            continue
        text, *more = lost(served, new)
        assert f"{name}:" in text
        assert f"of the {len(whole):,} bytes" in text
        assert all("has lost the rule refunds." in each or "lost settings: " in each for each in more)


DATA = sorted(str(path.relative_to(REGO)) for path in REGO.rglob("data.*"))
OF_DATA = re.compile(rb"(?<=: )(?P<number>[0-9]+)|(?<=: )(?P<word>[a-z]\w+)\n|(?P<item>(?<=\[)\w+)|20(?=[0-9]{2}-)")
"""What a change of a pack's data may be: another number, word, first item of a list, or date."""


def lost_of_packs(served: PolicyTree, new: PolicyTree) -> tuple[str, ...]:
    """As if no tenant said anything of packs, which would refuse a file without the setting that it changes."""
    return find_removals(served, new, served.tenants, frozenset(served.tenants))


def with_other_data(content: bytes) -> Iterator[tuple[bytes, int]]:
    """The file with each of its values changed in turn, and where."""
    for found in OF_DATA.finditer(content):
        if found["number"]:
            new = b"%d" % (int(found["number"]) + 1)
        else:
            new = found[0].replace(b"\n", b"x\n") if found["word"] else found[0][:-1] + b"1"
        assert new != found[0]
        yield content[: found.start()] + new + content[found.end() :], found.start() + len(new)


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("name", DATA)
def test_data_of_a_pack_that_is_cut_off_and_changed_before_is_asked_about(name: str, form: str) -> None:
    """As JSON, with a lost section instead of a lost end, since what lost its end is no JSON."""
    tree = of_acme()
    served, file = tree, name
    if form == "json":
        file = name.replace(".yaml", ".json")
        served = changed(changed(tree, name, None), file, as_json(tree.deciding[name]))
        assert lost_of_packs(tree, served) == lost_of_packs(served, tree) == ()
    asked = 0
    for edited, at in with_other_data(tree.deciding[name]):
        whole = edited if form == "yaml" else as_json(edited)
        assert lost_of_packs(served, changed(served, file, whole)) == ()
        for length in (place for place in range(at, len(edited) - 1) if edited[place : place + 1] == b"\n"):
            try:
                content = edited[:length] if form == "yaml" else as_json(edited[:length])
                new = changed(served, file, content)
            except PolicyInvalidError:
                continue
            if new.data[file].value == changed(served, file, whole).data[file].value:
                continue
            assert any(f"{file}: lost settings: " in text for text in lost_of_packs(served, new)), edited[:length]
            asked += 1
    assert asked


def as_json(content: bytes) -> bytes:
    return orjson.dumps(read_yaml(content, "").value)


@pytest.mark.parametrize(
    ("old", "new", "places"),
    [
        (b"[release_manager]", b"[captain]", ""),
        (b"[release_manager]", b"[captain, release_manager]", ""),
        (b"[release_manager]", b"release_manager", ""),
        (b"[development, staging]", b"[staging]", "defaults.rehearsal_environments[0]"),
        (b"[development, staging]", b"", "defaults.rehearsal_environments"),
        (b"  freezes:", b"  more: {a: [1]}\n  freezes:\n    easter: {from: a, until: b, services: []}", ""),
        (b"year_end:", b"christmas:", "defaults.freezes.year_end"),
        (b'      from: "2026-12-19T00:00:00Z"\n', b"", "defaults.freezes.year_end.from"),
        (b"defaults:", b"other: 1\ndefaults:", ""),
        (b"defaults:", b"default:", "defaults"),
    ],
)
def test_what_data_of_a_pack_lost(old: bytes, new: bytes, places: str) -> None:
    served, name = of_acme(), "policy/deploys/data.yaml"
    content = served.deciding[name]
    assert old in content
    told = lost_of_packs(served, changed(served, name, content.replace(old, new)))
    assert told == ((f"{REGO / name}: lost settings: {places}",) if places else ())


def test_data_of_a_pack_is_found_wherever_it_stands() -> None:
    tree = of_acme()
    name = "policy/tickets/data.yaml"
    moved = b"tickets:\n" + b"".join(b"  " + line + b"\n" for line in tree.deciding[name].splitlines())
    gone = changed(tree, name, None)
    assert lost_of_packs(tree, gone) == (f"{REGO / name}: is gone, with its data",)
    assert lost_of_packs(tree, changed(gone, "policy/data.yaml", moved)) == ()
    without_role = changed(gone, "policy/data.yaml", moved.replace(b"    role: ticketops\n", b""))
    assert lost_of_packs(tree, without_role) == (f"{REGO / name}: lost settings: defaults.role",)
    assert lost_of_packs(tree, changed(gone, "policy/data.yaml", b"other: 1\n")) == (
        f"{REGO / name}: is gone, with its data",
    )


def test_data_of_a_pack_that_is_renamed_is_not_asked_about() -> None:
    tree = of_acme()
    before = "policy/tickets/data.yaml", "policy/tickets/tickets.rego"
    new = tree
    for name in before:
        new = changed(changed(new, name, None), name.replace("tickets/", "issues/"), tree.deciding[name])
    assert lost_of_packs(tree, new) == ()


def test_a_pack_that_is_cut_off_and_changed_before_is_asked_about() -> None:
    served, name = of_acme(), "policy/refunds/refunds.rego"
    whole = served.deciding[name].replace(b"package policy.refunds\n", b"package policy.refunds\n\n# another\n")
    assert lost(served, changed(served, name, whole)) == ()
    short, _, _ = whole.partition(
        b"# METADATA\n# title: " + whole.rpartition(b"require_approval contains")[0].rpartition(b"# title: ")[2]
    )
    [text] = lost(served, changed(served, name, short))
    assert text.endswith("has lost the rule refunds.over_two_person_limit, which denies or requires approval")


@pytest.mark.parametrize("effect", [b"deny", b"require_approval", b"allow"])
def test_a_rule_is_found_by_its_id_wherever_it_stands(effect: bytes) -> None:
    rule = b"# METADATA\n# title: T\n# custom:\n#   rule_id: extra.rule\n%s contains finding(x, {})" % effect
    one, other = b"package policy.extra\n\n", b"package policy.other\n\n"
    tree = of_acme()
    served = changed(changed(tree, "policy/extra/extra.rego", one + rule), "policy/other/other.rego", other)
    moved = changed(
        changed(served, "policy/extra/extra.rego", one + b"x := 1"), "policy/other/other.rego", other + rule
    )
    assert lost(served, moved) == ()
    allowed = changed(served, "policy/extra/extra.rego", one + b"x := 1\n" + rule.replace(effect, b"allow"))
    asked = 0 if effect == b"allow" else 1
    assert len(lost(served, allowed)) == asked
    assert len(lost(served, changed(served, "policy/extra/extra.rego", one + b"x := 1"))) == asked


def test_a_file_of_rules_that_is_gone_is_asked_about_unless_there_is_another() -> None:
    served = of_acme()
    name = "policy/tickets/tickets.rego"
    gone = changed(served, name, None)
    assert [text.partition(": ")[2] for text in lost(served, gone)] == ["is gone, with its rules"]
    renamed = changed(gone, "policy/issues/issues.rego", served.modules[name])
    assert lost(served, renamed) == ()
    another = changed(gone, "policy/issues/issues.rego", b"package policy.issues\n")
    assert all("has lost the rule tickets." in text for text in lost(served, another))
    assert lost(served, another)


def test_comments_and_blank_lines_at_the_end_are_nothing() -> None:
    tree = read_tree(REGO)
    name = "policy/refunds/refunds.rego"
    served = changed(tree, name, tree.modules[name] + b"\n\n# the end\n\t# of it\n\n")
    assert lost(served, tree) == ()


def test_what_was_added_to_is_not_asked_about() -> None:
    served = read_tree(REGO)
    for name in ("policy/refunds/refunds.rego", FILE):
        grown = changed(served, name, served.deciding[name] + b"\n# more\n")
        assert lost(served, grown) == ()


def test_a_file_that_lost_its_end_mark() -> None:
    tree = read_tree(REGO)
    marked = changed(tree, FILE, tree.tenants[FILE] + b"...\n")
    new = changed(tree, FILE, tree.tenants[FILE].replace(b"jira.search", b"jira.find"))
    assert any("has lost the end mark `...`" in text for text in lost(marked, new))
    assert lost(tree, new) == ()


def test_a_tenant_that_was_away_is_compared_with_its_last_file() -> None:
    tree = read_tree(REGO)
    without = changed(tree, FILE, None)
    cut = changed(tree, FILE, tree.tenants[FILE].partition(b"  destinations:")[0])
    assert lost(without, cut) == ()
    assert any("acme.yaml" in text for text in lost(without, cut, tree.tenants))


def test_a_lost_budget_is_named_by_its_id() -> None:
    tree = read_tree(REGO)
    budget = b"    - {id: %s, scope: tenant, measure: calls, limit: 9, window: day, match: {tools: [jira.search]}}\n"
    before = changed(tree, FILE, tree.tenants[FILE] + b"  budgets:\n" + budget % b"first" + budget % b"a.second")
    whole = before.tenants[FILE]
    [text] = lost(before, changed(tree, FILE, whole.replace(budget % b"first", b"")))
    assert text.endswith("acme.yaml: lost restrictions: budgets.first")
    new = whole.replace(budget % b"a.second", (budget % b"a.second").replace(b", match: {tools: [jira.search]}", b""))
    [text] = lost(before, changed(tree, FILE, new))
    assert text.endswith('lost restrictions: budgets["a.second"].match')


def test_the_digest_of_files() -> None:
    files = {"a": b"1", "b": b"2"}
    assert digest_of(files) == digest_of(dict(reversed(files.items())))
    assert len({digest_of(each) for each in (files, {"a": b"12", "b": b""}, {"a1": b"", "b": b"2"}, {})}) == 4


BEFORE: dict[str, Any] = {
    "default_mode": "read_write",
    "allowed_tools": ["look", "seek"],
    "write_tools": ["pay", "tell"],
    "approvals": {"pay": "required", "tell": "not_required", "gone": "required"},
    "approver_groups": {"lead": ["ann", "bo"]},
    "destinations": {"tell": ["a.example", "b.example"]},
    "environments": {"write": ["sandbox", "staging"]},
    "dry_run": {"required": ["pay", "gone"], "waives_approval": ["tell"]},
    "evidence": {"look": {"min_items": 1}},
    "budgets": [{"id": "a", "limit": 1}, {"id": "b", "limit": 2, "match": {"tools": ["pay"]}}],
    "permits": "always",
    "pii": {"redact": True},
}


def without(*place: str | int) -> dict[str, Any]:
    """BEFORE without what stands at a place."""
    changed_value: Any = copy.deepcopy(BEFORE)
    around = changed_value
    for part in place[:-1]:
        around = around[part]
    del around[place[-1]]
    result: dict[str, Any] = changed_value
    return result


@pytest.mark.parametrize(
    "place",
    [
        ("approvals",), ("approvals", "pay"), ("approver_groups",), ("approver_groups", "lead"), ("destinations",),
        ("destinations", "tell"), ("environments",), ("dry_run",), ("dry_run", "required", 0), ("evidence",),
        ("evidence", "look"), ("budgets",), ("budgets", 0), ("budgets", 1), ("budgets", 1, "match"), ("pii", "redact"),
    ],
    ids=str,
)  # fmt: skip
def test_what_restricts(place: tuple[str | int, ...]) -> None:
    assert lost_restrictions(BEFORE, without(*place)) == (place,)


@pytest.mark.parametrize(
    "place",
    [
        ("default_mode",), ("allowed_tools", 1), ("approvals", "tell"), ("approvals", "gone"),
        ("approver_groups", "lead", 0), ("destinations", "tell", 0), ("environments", "write", 1),
        ("dry_run", "required", 1), ("dry_run", "waives_approval"), ("permits",),
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not(place: tuple[str | int, ...]) -> None:
    assert missing_places(BEFORE, without(*place)) == (place,)
    assert lost_restrictions(BEFORE, without(*place)) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"currency": "EUR"},
        {"default_mode": "read_only"},
        {"allowed_tools": ["look", "seek", "more"]},
        {"budgets": [{"id": "c", "limit": 3}, *BEFORE["budgets"]]},
        {"budgets": [{"id": "b", "limit": 9, "match": {"tools": ["pay"]}}, {"id": "a", "limit": 7}]},
        {"write_tools": ["tell", "pay"]},
        {"pii": {"redact": False, "more": 1}},
        {"approvals": {**BEFORE["approvals"], "pay": {"quorum": 2}, "more": "required"}},
    ],
    ids=str,
)
def test_what_is_lost_counts_whatever_else_changed(change: dict[str, Any]) -> None:
    assert lost_restrictions(BEFORE, {**BEFORE, **change}) == ()
    assert lost_restrictions(BEFORE, {**without("evidence"), **change}) == (("evidence",),)
    assert lost_restrictions(BEFORE, {**without("destinations", "tell"), **change}) == (("destinations", "tell"),)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"budgets": [{"id": "a", "limit": 5}]}, ("budgets", 1)),
        ({"budgets": [{"id": "c", "limit": 1}, BEFORE["budgets"][1]]}, ("budgets", 0)),
        ({"budgets": [BEFORE["budgets"][0], {"id": "b", "limit": 3}]}, ("budgets", 1, "match")),
        ({"evidence": {"look": {"min_items": None}}}, ("evidence", "look", "min_items")),
        ({"pii": {"redact": None}}, ("pii", "redact")),
        ({"pii": True}, ("pii", "redact")),
        ({"approvals": {"pay": "required", "tell": None, "gone": None}, "pii": None}, ("pii",)),
        ({"dry_run": {"required": ["tell"], "waives_approval": []}}, ("dry_run", "required", 0)),
    ],
)
def test_what_another_value_does_not_stand_for(change: dict[str, Any], place: tuple[str | int, ...]) -> None:
    assert lost_restrictions(BEFORE, {**BEFORE, **change, "currency": "EUR"}) == (place,)


def test_other_items_in_lists() -> None:
    schema = {"required": ["a", "b"], "properties": {"a": {"enum": [1, 2], "type": ["number", "null"]}}}
    before = {**BEFORE, "tools": {"pay": {"params_schema": schema}}, "packs": {"x": {"hosts": ["a", "b"], "n": [1]}}}
    after = copy.deepcopy(before)
    after["tools"]["pay"]["params_schema"] = {
        "required": ["b", "c"],
        "properties": {"a": {"enum": [2, 3], "type": ["null"]}},
    }
    after["packs"]["x"] = {"hosts": ["c", "a"], "n": [2, 3]}
    at = ("tools", "pay", "params_schema", "required", 0)
    assert lost_restrictions(before, after) == (at,)
    after["packs"]["x"] = {"hosts": ["c"], "n": []}
    assert lost_restrictions(before, after) == (at, ("packs", "x", "hosts", 1), ("packs", "x", "n", 0))


@pytest.mark.parametrize(("before", "after"), [(BEFORE, []), (BEFORE, "x"), (None, BEFORE), ([], BEFORE), ({}, None)])
def test_what_is_no_policy_lost_nothing(before: object, after: object) -> None:
    assert lost_restrictions(before, after) == ()


def test_a_file_with_nothing_in_it_lost_all_of_it() -> None:
    assert lost_restrictions(BEFORE, None) == lost_restrictions(BEFORE, {})
    assert ("budgets",) in lost_restrictions(BEFORE, None)


def test_a_key_with_nothing_below_it_lost_all_of_it() -> None:
    assert lost_restrictions(BEFORE, {**BEFORE, "destinations": None}) == (("destinations",),)
    assert lost_restrictions(BEFORE, {**BEFORE, "budgets": None}) == (("budgets",),)


@pytest.mark.parametrize("word", ["not_required", "required", False, 1])
def test_a_word_in_place_of_a_mapping_lost_its_members(word: object) -> None:
    before = {
        "allowed_tools": ["stripe.refund"],
        "approvals": {"stripe.refund": {"quorum": 2, "approver_roles": ["a"]}},
    }
    after = {**before, "approvals": {"stripe.refund": word}}
    approval = ("approvals", "stripe.refund")
    assert lost_restrictions(before, after) == ((*approval, "quorum"), (*approval, "approver_roles"))
    assert lost_restrictions(after, before) == ()


def test_a_tool_that_is_listed_no_longer_needs_no_restrictions() -> None:
    after = {**BEFORE, "write_tools": ["tell"], "approvals": {"tell": "not_required"}}
    after["dry_run"] = {"required": ["gone"], "waives_approval": ["tell"]}
    assert lost_restrictions(BEFORE, after) == ()
