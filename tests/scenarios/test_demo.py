"""`placet demo` as `make run` calls it: both chapters, from a fresh data directory and on an existing one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from placet.cli.commands.server.demo import DEFAULT_SCRIPTS
from placet.cli.scenarios.script import load_script
from placet.cli.scenarios.steps import Call

ROOT = Path(__file__).parent.parent.parent
DAY, LIMITS = (load_script(ROOT / file) for file in DEFAULT_SCRIPTS)
SECONDS_MAX = 90


def demo(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLACET_")}
    return subprocess.run(
        [
            *(sys.executable, "-m", "placet", "demo", "--exit"),
            *("--listen", "127.0.0.1:0", "--data-dir", str(data_dir), "--opa-timeout-ms", "20000"),
            *arguments,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def rows(shown: str) -> list[list[str]]:
    """The cells of the table's rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]


def test_both_chapters_on_a_fresh_directory_and_again(tmp_path: Path) -> None:
    steps = [*DAY.steps, *LIMITS.steps]
    calls = sum(isinstance(step, Call) for step in steps)
    for _ in range(2):
        ended = demo(tmp_path / "data")
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
        table = rows(ended.stdout)
        assert [row[0] for row in table] == [step.name for step in steps]
        assert [(row[1], row[2]) for row in table] == [step.expected for step in steps]
        assert all(row[3] and float(row[4]) > 0 for row in table)
        assert f"{calls} tool calls decided. Audit trail: ok" in ended.stdout
        assert "Ctrl-C" not in ended.stdout
    assert not (tmp_path / "data/serve.json").exists()


def test_the_day_shows_every_kind_of_answer() -> None:
    answers = [step.expected for step in DAY.steps]
    assert 28 <= len(answers) <= 35
    assert {effect for effect, _ in answers} == {"allow", "deny", "require_approval", "refused"}
    assert {
        "refunds.within_limit",
        "refunds.over_limit",
        "refunds.insufficient_privilege",
        "destinations.not_allowed",
        "deploys.freeze",
        "evidence.too_few",
        "pdp.unknown_tool",
        "pdp.unknown_tenant",
        "action.params_json",
    } <= {rule_id for _, rule_id in answers}


def test_the_limits_show_what_is_kept_between_calls() -> None:
    assert {
        ("refused", "REQUESTER_MAY_NOT_APPROVE"),
        ("allow", "approvals.granted"),
        ("deny", "approvals.used"),
        ("deny", "approvals.digest_mismatch"),
        ("deny", "budgets.refunds.per_customer_per_day"),
        ("reported", ""),
        ("verified", ""),
        ("refused", "wrong_digest"),
        ("deny", "kill_switch.tool"),
        ("cleared", ""),
        ("deny", "limits.loop"),
    } <= {step.expected for step in LIMITS.steps}


def test_an_answer_that_was_not_expected_is_an_exit_code(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(
        "description: Wrong on purpose\n"
        "identity: {agent: a, user: u, tenant: acme}\n"
        "steps:\n"
        "  - {name: Run a shell, tool: shell.exec, expect: allow tools.listed_write}\n"
    )
    ended = demo(tmp_path / "data", "--script", str(script))
    assert ended.returncode == 1
    assert "not as expected: Run a shell" in ended.stdout
    assert "deny" in ended.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("steps: [", "is not YAML"),
        ("description: d\nsteps: []\n", "steps"),
        ("description: d\nsteps: [{name: n, tool: t, expects: allow x}]\n", "steps.0.expect"),
        ("description: d\nsteps: [{name: n, amount: 45.001 USD, expect: allow x}]\n", "45.001 USD"),
        ("description: d\nsteps: [{advance: 60}]\n", "steps.0.advance: a server's clock cannot be set"),
        (
            "description: d\nagent_policy: {}\nsteps: [{name: n, tool: t, expect: deny x}]\n",
            "agent_policy: the tenant's file",
        ),
    ],
)
def test_a_script_that_cannot_be_replayed(tmp_path: Path, content: str | None, said: str) -> None:
    script = tmp_path / "script.yaml"
    if content is not None:
        script.write_text(content)
    ended = demo(tmp_path / "data", "--script", str(script))
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()
