"""Settings of packs whose names are misspelt: found before serving, because they would make a deny undefined."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import PolicyInvalidError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.setting_checks import setting_problems
from placet.policy.files.staging import staged
from placet.policy.files.tree import read_tree
from placet.policy.rego.modules import parse_modules
from tests.serving import REGO_DIR

if TYPE_CHECKING:
    from pathlib import Path

PACK = """package policy.hours

import data.placet.lib
import data.placet.lib.finding
import data.placet.lib.pack_config
import data.policy.hours as own

_config := lib.pack_config("hours")

# METADATA
# title: Too many rows
# custom:
#   rule_id: hours.rows
deny contains finding(rego.metadata.rule(), {}) if {
	input.action.tool in _config.tools
	settings := pack_config("hours")
	count(settings.tools) > 0
	not _few(settings)
}

_few(config) if count(config.whatever) == 0
"""
DATA = "defaults:\n  tools: [datadog.query]\n"


def policy(tmp_path: Path, rego: str = PACK, data: str | None = DATA) -> Path:
    copy = tmp_path / "rego"
    shutil.copytree(REGO_DIR, copy, ignore=shutil.ignore_patterns("*_test.rego"))
    pack = copy / "policy" / "hours"
    pack.mkdir()
    (pack / "hours.rego").write_text(rego)
    if data is not None:
        (pack / "data.yaml").write_text(data)
    return copy


def problems(folder: Path, opa: Path) -> list[str]:
    tree = read_tree(folder)
    with staged(tree, tests=False) as stage:
        found = setting_problems(tree, parse_modules(tree, stage, opa))
        return [str(problem).removeprefix(f"{folder}/") for problem in found]


def test_right_names_are_accepted(tmp_path: Path, opa: Path) -> None:
    assert problems(policy(tmp_path), opa) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('lib.pack_config("hours")', 'lib.pack_config("hour")', "hours.rego:8: reads the settings of 'hour', which is"),
        (' pack_config("hours")', ' pack_config("hour")', "hours.rego:14: reads the settings of 'hour', which is no"),
        ("_config.tools", "_config.tols", "hours.rego:14: the pack hours has no setting tols (did you mean tools?"),
        ("settings.tools", "settings.tool", "hours.rego:14: the pack hours has no setting tool (did you mean tools?"),
        ("_config.tools", 'lib.pack_config("hours").tols', "hours.rego:14: the pack hours has no setting tols"),
    ],
)
def test_a_misspelt_name_in_a_rule(tmp_path: Path, opa: Path, old: str, new: str, expected: str) -> None:
    assert old in PACK
    [problem] = problems(policy(tmp_path, PACK.replace(old, new)), opa)
    assert problem.startswith(f"policy/hours/{expected}")


@pytest.mark.parametrize("data", [None, "default:\n  tools: [datadog.query]\n", "defaults: {}\n"])
def test_a_pack_without_settings(tmp_path: Path, opa: Path, data: str | None) -> None:
    found = problems(policy(tmp_path, data=data), opa)
    no_settings = "reads the settings of the pack hours, which has none (write them to policy/hours/data.yaml below"
    assert any(no_settings in problem for problem in found)
    unread = [problem for problem in found if "no rule reads the key default" in problem]
    assert len(unread) == (data is not None and data.startswith("default:"))


@pytest.mark.parametrize(
    ("reads", "unread"),
    [
        ("data.policy.hours.limits[_] == 1", []),
        ("own.limits[_] == 1", []),
        ("object.get(own, input.action.tool, 1) == 1", []),
        ("data.policy[input.action.tool].limits == 1", []),
        ("data.policy[input.action.tool].other == 1", ["limits"]),
        ("data.policy.refunds.limits == 1", ["limits"]),
        ("data.placet.lib.is_read_tool", ["limits"]),
    ],
)
def test_data_beside_the_settings_must_be_read(tmp_path: Path, opa: Path, reads: str, unread: list[str]) -> None:
    folder = policy(tmp_path, PACK.replace("not _few(settings)", reads), f"{DATA}limits: [1]\n")
    assert [problem.split(" key ")[1].split(" ")[0] for problem in problems(folder, opa)] == unread


def test_a_server_refuses_the_policy(tmp_path: Path, opa: Path) -> None:
    rego = PACK.replace("import data.policy.hours as own\n", "")
    folder = policy(tmp_path, rego, "default:\n  tools: [datadog.query]\n")
    with pytest.raises(PolicyInvalidError, match="no rule reads the key default"):
        build_bundle(folder, opa, tmp_path / "cache")
