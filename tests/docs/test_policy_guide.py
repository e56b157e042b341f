"""The pages policy guide and tenant file list keys and steps of the check, and their snippets work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from placet.budgets.model import Measure, OnExceed, Scope, Unreported
from placet.budgets.windows import Window
from placet.cli import main as cli
from placet.cli.rendering import exit_codes
from placet.controls.autonomy.model import AutonomyLevel, ObserveMode
from placet.controls.breakers.model import BreakerEffect, BreakerScope
from placet.policy.checks.check import STEPS
from placet.policy.files.strict_yaml import read_yaml
from placet.policy.toolchain.binary import find_opa
from placet.tenants.budget_sections import BudgetEntry
from placet.tenants.control_sections import BreakerSection
from placet.tenants.diagnostics import NOT_ENFORCED_YET, SECTIONS, document_diagnostics
from placet.tenants.policy import TenantPolicy
from placet.tenants.sections import Approval, BindSection
from tests.docs.blocks import ROOT, blocks
from tests.docs.tables import DOCS, by_name, rows, sections

if TYPE_CHECKING:
    from enum import StrEnum
    from pathlib import Path

PAGE = DOCS / "how-to/policy-guide.md"
TENANT_FILE = DOCS / "reference/tenant-file.md"
TRAPS = sections(PAGE)["Traps"]
PACK = "package policy.guide\n\nimport data.placet.lib.finding\n"


LISTS = {"budgets", "rules"}
"""Keys whose values are lists of sections."""


NAMED = {"workflows": ".<workflow>", "agents": ".<agent>"}
"""Keys whose values are sections by another name than that of a tool."""


def dotted(path: tuple[str, ...]) -> str:
    written = ""
    for before, part in zip(("", *path), path, strict=False):
        if part != "*":
            written += f".{part}" if written else part
        else:
            written += "[]" if before in LISTS else NAMED.get(before, ".<tool>")
    return written


def enforced() -> set[str]:
    """Every key that has an effect of its own, and `approvals`, whose value may be a word as well."""
    parents = {path[: depth + 1] for path in SECTIONS for depth in range(len(path))}
    keys = {(*path, name) for path, section in SECTIONS.items() for name in section.model_fields}
    return {dotted(key) for key in keys if key not in parents} | {"approvals"}


def later() -> set[tuple[str, ...]]:
    return {(*path, name) for path, section in SECTIONS.items() for name in section.NOT_YET_ENFORCED}


def test_every_key_has_its_row_and_no_other() -> None:
    assert by_name(TENANT_FILE, "agent_policy").keys() == enforced()


def test_every_key_that_is_not_enforced_yet_is_listed_and_no_other() -> None:
    assert {row[0] for row in rows(TENANT_FILE, "Not enforced yet")} == {dotted(key) for key in later()}


@pytest.mark.parametrize("key", sorted(later()), ids=dotted)
def test_what_is_listed_so_is_refused_so(key: tuple[str, ...]) -> None:
    value: object = 1
    for part in reversed(key):
        value = {"jira.search" if part == "*" else part: value}
    assert isinstance(value, dict)
    with pytest.raises(ValidationError) as refused:
        TenantPolicy.model_validate({"allowed_tools": ["jira.search"], **value})
    assert NOT_ENFORCED_YET in {fault.what for fault in document_diagnostics(refused.value)}


def test_the_example_is_accepted_and_says_every_key() -> None:
    [example] = [
        block.text for block in blocks(TENANT_FILE) if block.language == "yaml" and "default_mode" in block.text
    ]
    agent_policy = read_yaml(example.encode(), TENANT_FILE.name).value["agent_policy"]
    TenantPolicy.model_validate(agent_policy)
    assert agent_policy.keys() == TenantPolicy.model_fields.keys()


def test_every_field_that_is_bound_has_its_row() -> None:
    fields = {row[0] for row in rows(TENANT_FILE, "Bind params to what is declared")}
    assert fields == BindSection.model_fields.keys() - {"unit"}


def test_every_step_of_the_check_has_its_row_in_order() -> None:
    assert [row[0] for row in rows(PAGE, "placet policy check")] == list(STEPS)


def test_defaults_are_those_of_the_code() -> None:
    documented = {key: row[1] for key, row in by_name(TENANT_FILE, "agent_policy").items()}
    empty = TenantPolicy()
    assert documented["default_mode"] == empty.default_mode
    assert documented["permits"] == empty.permits
    assert documented["pii.redact"] == str(empty.pii.redact).lower()
    assert documented["currency"] == empty.currency
    assert documented["autonomy.default"] == empty.autonomy.default
    assert documented["autonomy.observe"] == empty.autonomy.observe
    assert documented["approvals.<tool>.expires_after_seconds"] == str(Approval().expires_after_seconds)
    breaker = BreakerSection(failures_in_a_row=1)
    for key in ("min_calls", "window_seconds", "open_seconds", "effect"):
        assert documented[f"limits.breaker.{key}"] == str(getattr(breaker, key))
    assert documented["limits.breaker.scopes"] == ", ".join(breaker.scopes)
    for key in ("timezone", "on_exceed", "unreported"):
        assert documented[f"budgets[].{key}"] == BudgetEntry.model_fields[key].default


def test_every_value_of_a_key_is_listed() -> None:
    documented = {key: row[0] for key, row in by_name(TENANT_FILE, "agent_policy").items()}
    words: dict[str, type[StrEnum]] = {
        "budgets[].scope": Scope,
        "budgets[].measure": Measure,
        "budgets[].window": Window,
        "budgets[].on_exceed": OnExceed,
        "budgets[].unreported": Unreported,
        "limits.breaker.effect": BreakerEffect,
        "limits.breaker.scopes": BreakerScope,
        "autonomy.observe": ObserveMode,
    }
    for key, kind in words.items():
        assert re.findall(r"[a-z_]+", documented[key]) == [word.value for word in kind]
    assert [row[0] for row in rows(TENANT_FILE, "Autonomy")] == [level.value for level in AutonomyLevel]


@pytest.fixture
def rego_dir(tmp_path: Path) -> Path:
    """A copy of the policy with the guide's packs, its tests beside what they are about, its snippets as one pack."""
    copy = tmp_path / "rego"
    shutil.copytree(ROOT / "rego", copy)
    snippets = [PACK]
    for text in (block.text for block in blocks(PAGE) if block.language == "rego"):
        named = re.search(r"^package policy\.(\w+?)(_test)?$", text, re.MULTILINE)
        if named is not None:
            write(copy, named[1], "guide_test.rego" if named[2] else f"{named[1]}.rego", text)
        else:
            snippets.append(text)
    write(copy, "guide", "guide.rego", "\n".join(snippets))
    return copy


def write(rego_dir: Path, pack: str, name: str, text: str) -> None:
    folder = rego_dir / "policy" / pack
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_its_snippets_compile_and_its_test_passes(rego_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["policy", "test", "--rego-dir", str(rego_dir), "--coverage-min", "0", "--output", "json"]
    assert cli.main(command) == 0, capsys.readouterr()
    assert json.loads(capsys.readouterr().out)["passed"] > 0


def test_every_fact_that_policy_sees_is_in_the_table() -> None:
    schema = json.loads((ROOT / "rego/schemas/input.json").read_text())
    facts = {f"facts.{name}" for name in schema["properties"]["facts"]["properties"]}
    documented = {row[0] for row in rows(PAGE, "What policy sees")}
    assert documented == facts | (schema["properties"].keys() - {"facts"})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('"5" > 100', True),
        ("null > 100", False),
        ('startswith("https://acme.example.evil.test", "https://acme.example")', True),
    ],
)
def test_what_the_traps_say_of_opa(expression: str, value: object) -> None:
    assert f"`{expression}`" in TRAPS or expression.startswith("startswith")
    command = [str(find_opa().path), "eval", "--format", "raw", expression]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) is value


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            """import data.placet.lib.finding

# METADATA
# title: Nobody reads this
# custom:
#   rule_id: wrong.misspelt
denies contains finding(rego.metadata.rule(), {}) if input.action.dry_run""",
            "is not collected",
        ),
        ("default allow := true", "is not collected"),
        ("_typo if input.acton.tool", "input.acton"),
        ("_now := time.now_ns()", "time.now_ns"),
    ],
)
def test_what_the_traps_say_is_refused(
    rego_dir: Path, rule: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = rego_dir / "policy/wrong/wrong.rego"
    wrong.parent.mkdir()
    wrong.write_text(f"package policy.wrong\n\n{rule}\n")
    assert cli.main(["policy", "catalogue", "--rego-dir", str(rego_dir)]) == exit_codes.USAGE
    assert problem in capsys.readouterr().err
