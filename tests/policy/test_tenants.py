from __future__ import annotations

import gc
import weakref
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import PolicyInvalidError
from placet.kernel.model import ToolClass
from placet.policy.files.tenant_files import load_agent_policies

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = """agent_policy:
  default_mode: read_only
  allowed_tools: [jira.search, github.read_repo, datadog.query, confluence.read]
  write_tools: [github.open_pull_request, jira.create_ticket]
  approvals: {github.open_pull_request: required, jira.create_ticket: required}
  pii: {redact: true, log_retention_days: 30}
  spend_limits: {per_user_usd_per_day: 2.00, per_workspace_usd_per_month: 500.00}
"""


def problems(rego_dir: Path) -> list[str]:
    with pytest.raises(PolicyInvalidError) as raised:
        load_agent_policies(rego_dir)
    return [str(problem).removeprefix(f"{rego_dir}/") for problem in raised.value.problems]


def write(rego_dir: Path, text: str, name: str = "acme.yaml") -> None:
    (rego_dir / "config" / name).write_text(text)


def packs(rego_dir: Path, text: str) -> list[str]:
    write(rego_dir, f"agent_policy:\n  packs:\n    {text}\n")
    return problems(rego_dir)


def test_every_tenant_is_read(rego_dir: Path) -> None:
    write(rego_dir, "agent_policy: {allowed_tools: [a]}", "globex.yaml")
    policies = load_agent_policies(rego_dir)
    assert sorted(policies) == ["acme", "globex"]
    assert policies["globex"].tool_class("a") is ToolClass.READ
    assert policies["acme"].as_data()["packs"] == {"refunds": {"limit_minor_units": 50, "share": Decimal("0.25")}}


def test_a_file_is_parsed_again_only_after_a_change(rego_dir: Path) -> None:
    write(rego_dir, "agent_policy: {allowed_tools: [a]}", "globex.yaml")
    before = load_agent_policies(rego_dir)
    write(rego_dir, "agent_policy: {allowed_tools: [b]}", "globex.yaml")
    after = load_agent_policies(rego_dir)
    assert after["acme"] is before["acme"]
    assert after["globex"].tool_class("b") is ToolClass.READ
    defaults = rego_dir / "policy/refunds/data.yaml"
    defaults.write_text(defaults.read_text().replace("limit_minor_units:", "limit_major_units:"))
    assert any("limit_minor_units" in problem for problem in problems(rego_dir)), "checked against the new defaults"


def test_tenants_with_equal_files_share_one_policy(rego_dir: Path) -> None:
    for name in ("globex.yaml", "hooli.yaml"):
        write(rego_dir, "agent_policy: {allowed_tools: [a]}", name)
    policies = load_agent_policies(rego_dir)
    assert policies["globex"] is policies["hooli"]
    write(rego_dir, "agent_policy: {allowed_tools: [a]}", "No.yaml")
    assert any("'No' is not a tenant id" in problem for problem in problems(rego_dir))


def test_a_parsed_file_is_forgotten_with_its_policy(rego_dir: Path) -> None:
    write(rego_dir, "agent_policy: {allowed_tools: [a.tool.of.this.test]}", "globex.yaml")
    policies = load_agent_policies(rego_dir)
    held = weakref.ref(policies["globex"])
    del policies
    gc.collect()
    assert held() is None


def test_the_designs_sample_as_it_stands(rego_dir: Path) -> None:
    write(rego_dir, SAMPLE)
    remedy = "not enforced yet (remove it: Placet accepts only keys that it enforces)"
    assert problems(rego_dir) == [f"config/acme.yaml:6: agent_policy.pii.log_retention_days: {remedy}"]


def test_the_designs_sample_without_what_is_not_enforced_yet(rego_dir: Path) -> None:
    write(rego_dir, SAMPLE.replace(", log_retention_days: 30", ""))
    policy = load_agent_policies(rego_dir)["acme"]
    assert policy.tool_class("jira.create_ticket") is ToolClass.WRITE
    assert [budget.limit for budget in policy.all_budgets] == [2_000_000, 500_000_000]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("per_user_usd_per_day: 0", "agent_policy.spend_limits.per_user_usd_per_day: should be above 0"),
        ("per_user_usd_per_day: 2.0000001", "agent_policy.spend_limits.per_user_usd_per_day: has more than 6"),
        ("per_user_usd_per_day: .nan", "agent_policy.spend_limits.per_user_usd_per_day"),
        ("per_user_usd_a_day: 2", "agent_policy.spend_limits.per_user_usd_a_day: unknown key"),
    ],
)
def test_a_limit_that_is_none_is_named_with_its_line(rego_dir: Path, written: str, told: str) -> None:
    write(rego_dir, f"agent_policy:\n  spend_limits:\n    {written}\n")
    [problem] = problems(rego_dir)
    assert problem.startswith("config/acme.yaml:3: ")
    assert told.removeprefix("agent_policy.spend_limits.per_user_usd_per_day") in problem


LIMITED = """agent_policy:
  write_tools: [pay]
  budgets:
    - {id: a, scope: customer, customer: /to, measure: amount, currency: EUR, limit: 250.00, window: day}
  limits: {max_tool_calls: 20}
  autonomy: {default: draft_only}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("250.00", "250.01"),
        ("EUR", "USD"),
        ("window: day", "window: day, timezone: Europe/Berlin"),
        ("window: day", "window: day, unreported: release"),
        ("window: day", "window: day, warn_at: 0.9"),
        ("max_tool_calls: 20", "max_tool_calls: 21"),
        ("draft_only", "observe_only"),
    ],
)
def test_every_limit_is_part_of_what_a_revision_means(rego_dir: Path, before: str, after: str) -> None:
    write(rego_dir, LIMITED)
    first = load_agent_policies(rego_dir)["acme"].as_data()
    write(rego_dir, LIMITED.replace(before, after))
    assert load_agent_policies(rego_dir)["acme"].as_data() != first


def test_what_is_wrong_in_all_files_is_told_at_once(rego_dir: Path) -> None:
    write(rego_dir, "agent_policy:\n  alowed_tools: []\n  pii: {redact: 1}\n")
    write(rego_dir, "agent_policy:\n  write_tools: [a]\n  allowed_tools: [a]\n", "globex.yaml")
    assert problems(rego_dir) == [
        "config/acme.yaml:3: agent_policy.pii.redact: should be true or false, not the number 1",
        "config/acme.yaml:2: agent_policy.alowed_tools: unknown key (did you mean allowed_tools?)",
        (
            "config/globex.yaml:2: agent_policy.write_tools[0]: a is in allowed_tools (read) as well as in write_tools "
            "(keep it in one of the two)"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "config/acme.yaml:1: has no agent_policy (begin the file with agent_policy:)"),
        ("- a", "config/acme.yaml:1: has no agent_policy (begin the file with agent_policy:)"),
        (
            "agent_polcy: {}",
            "config/acme.yaml:1: has no agent_policy; found agent_polcy (begin the file with agent_policy:)",
        ),
        ("agent_policy: {}\nextra: 1", "config/acme.yaml:2: extra: unknown key (the only key here is agent_policy)"),
        ("agent_policy:", "config/acme.yaml:1: agent_policy: should be a mapping, not nothing"),
        ("agent_policy: {\n", "config/acme.yaml:2: is not YAML: did not find expected node content"),
    ],
)
def test_a_file_that_is_none(rego_dir: Path, text: str, said: str) -> None:
    write(rego_dir, text)
    assert problems(rego_dir) == [said]


def test_a_file_whose_name_is_no_tenant(rego_dir: Path) -> None:
    write(rego_dir, "agent_policy: {}", "Acme Corp.yaml")
    remedy = "rename the file: 1 to 64 characters of [a-z0-9_-], a letter or digit first"
    assert problems(rego_dir) == [f"config/Acme Corp.yaml: 'Acme Corp' is not a tenant id ({remedy})"]


def test_no_tenant_at_all(rego_dir: Path) -> None:
    (rego_dir / "config" / "acme.yaml").unlink()
    assert problems(rego_dir) == [
        "config: there is no tenant file (add config/<tenant>.yaml with the key agent_policy)"
    ]


def test_no_folder_at_all(tmp_path: Path) -> None:
    assert problems(tmp_path / "none") == [f"{tmp_path}/none: no such folder (name the policy folder with --rego-dir)"]


@pytest.mark.parametrize(
    "override",
    [
        "limit_minor_units: 7",
        "share: 1",
        "share: 0.5",
        "roles: [a, b]",
        "roles: []",
        "per_currency: {AUD: 3}",
        "per_currency: {USD: 3, JPY: 4}",
        "window: {days: 5}",
        "anything: [1, {a: b}]",
        "free: {a: 1, b: x}",
        "enabled: false",
    ],
)
def test_overrides_of_the_form_of_the_defaults(rego_dir: Path, override: str) -> None:
    write(rego_dir, f"agent_policy:\n  packs:\n    refunds:\n      {override}\n")
    assert load_agent_policies(rego_dir)["acme"].packs["refunds"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "limit_minor_unit: 1",
            "limit_minor_unit: the pack refunds has no such setting (did you mean limit_minor_units?)",
        ),
        ('limit_minor_units: "1"', "limit_minor_units: should be a whole number as in the pack's defaults, not text"),
        (
            "limit_minor_units: 1.5",
            "limit_minor_units: should be a whole number as in the pack's defaults, not a decimal number",
        ),
        (
            "limit_minor_units: true",
            "limit_minor_units: should be a whole number as in the pack's defaults, not true or false",
        ),
        (
            "limit_minor_units: null",
            "limit_minor_units: should be a whole number as in the pack's defaults, not nothing",
        ),
        ("share: [0.1]", "share: should be a decimal number as in the pack's defaults, not a list"),
        ("roles: [a, 1]", "roles[1]: should be text as in the pack's defaults, not a whole number"),
        ("roles: {a: b}", "roles: should be a list as in the pack's defaults, not a mapping"),
        ("per_currency: {AUD: x}", "per_currency.AUD: should be a whole number as in the pack's defaults, not text"),
        ("per_currency: {usd: 1}", "per_currency.usd: unknown key (did you mean USD?)"),
        ("window: {form: x}", "window.form: unknown key (did you mean from?)"),
        ("window: {zzzz: x}", "window.zzzz: unknown key (known: days, from)"),
        ("window: {days: x}", "window.days: should be a whole number as in the pack's defaults, not text"),
    ],
)
def test_overrides_of_another_form(rego_dir: Path, override: str, said: str) -> None:
    assert packs(rego_dir, f"refunds: {{{override}}}") == [f"config/acme.yaml:3: agent_policy.packs.refunds.{said}"]


def test_an_override_of_a_pack_that_is_none(rego_dir: Path) -> None:
    assert packs(rego_dir, "refnds: {a: 1}") == [
        "config/acme.yaml:3: agent_policy.packs.refnds: no such pack (did you mean refunds?)"
    ]


def test_a_pack_without_defaults_takes_no_override(rego_dir: Path) -> None:
    (rego_dir / "policy/refunds/data.yaml").write_text("other: 1")
    assert packs(rego_dir, "refunds: {a: 1}") == [
        "config/acme.yaml:3: agent_policy.packs.refunds.a: the pack refunds has no such setting (remove it)"
    ]
