"""`placet kill-switches`, `autonomy` and `budgets` against a whole server: real OPA, real SQLite."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from placet.audit.records import RecordKind
from placet.kernel.errors import LedgerUnavailableError
from placet.storage.causes import DISK_FULL
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.audit.records import Commitment, CommitResult
    from tests.cli.conftest import Placet, Ran
    from tests.serving import Server


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for this module only: a kill switch would stop the calls of other tests."""
    with serving(settings(tmp_path_factory.mktemp("own_server"))) as server:
        yield server


@pytest.fixture(autouse=True)
def asking(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("PLACET_ADDRESS", own_server.address)
    return own_server


def authorize(placet: Placet, *more: str, tool: str = "jira.search", tenant: str = "acme") -> dict[str, Any]:
    ran = placet(
        "authorize", "--tenant", tenant, "--agent", "support-agent", "--user", "u_1", "--tool", tool, "--timeout", "30",
        "--run-id", "run_7", *more, "-o", "json",
    )  # fmt: skip
    document: dict[str, Any] = ran.document
    return document


def kill(placet: Placet, *arguments: str) -> Ran:
    return placet("kill-switches", "set", "--reason", "it runs wild", "--as", "ann", *arguments, "-o", "json")


def clear(placet: Placet, set_before: Ran, *more: str, actor: str = "ann") -> Ran:
    name = set_before.document["kill_switch"]["id"]
    return placet("kill-switches", "clear", name, "--reason", "mended", "--as", actor, *more, "-o", "json")


def test_a_misspelt_variable_for_the_address_changes_no_server(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_ADRESS", "127.0.0.1:1")
    ran = kill(placet, "--tool", "jira.*")
    assert ran.code == 2
    assert "PLACET_ADRESS is not read; did you mean PLACET_ADDRESS?" in ran.complaint
    monkeypatch.delenv("PLACET_ADRESS")
    assert not placet("kill-switches", "list", "--all", "-o", "json").document["kill_switches"]


def test_setting_a_switch_names_the_server(placet: Placet) -> None:
    ran = placet("kill-switches", "set", "--tool", "nothing.*", "--reason", "test", "--as", "ann")
    assert f"server  {os.environ['PLACET_ADDRESS']}" in ran.out
    name = next(line.split()[1] for line in ran.out.splitlines() if line.startswith("id "))
    assert placet("kill-switches", "clear", name, "--reason", "mended", "--as", "bob").code == 0


@pytest.mark.parametrize(
    ("arguments", "scope", "tenant"),
    [
        (["--tool", "jira.*"], "tool", ""),
        (["--tool", "*.search", "--tenant", "acme"], "tool", "acme"),
        (["--agent", "support-agent"], "agent", ""),
        (["--run", "run_7", "--tenant", "acme"], "run", "acme"),
        (["--tenant", "acme"], "tenant", "acme"),
    ],
)
def test_set_stops_calls_and_clear_allows_them(placet: Placet, arguments: list[str], scope: str, tenant: str) -> None:
    before = authorize(placet)
    assert before["effect"] == "allow"
    was_set = kill(placet, *arguments)
    assert was_set.code == 0
    switch = was_set.document["kill_switch"]
    assert (switch["scope"], switch["tenant"], switch["actor"]) == (scope, tenant, "ann")
    assert before["decision_id"] in {each["decision_id"] for each in was_set.document["revoked"]}
    stopped = authorize(placet)
    assert (stopped["effect"], stopped["rule_id"]) == ("deny", f"kill_switch.{scope}")
    assert stopped["findings"][0]["details"]["reason"] == "it runs wild"
    assert authorize(placet, "--idempotency-key", before["idempotency_key"])["effect"] == "deny"
    listed = placet("kill-switches", "list", *(["--tenant", tenant] if tenant else []))
    assert switch["id"] in listed.out
    assert placet("kill-switches", "list", "--all").out.count(switch["id"]) == 1
    where = ["--tenant", tenant] if tenant else []
    if scope == "tenant":
        assert clear(placet, was_set, *where, actor="bob").code == 4
    assert clear(placet, was_set, *where).document == {"cleared": True, "waiting": None}
    assert authorize(placet)["effect"] == "allow"
    again = clear(placet, was_set, *where)
    assert again.code == 1
    assert f"no kill switch {switch['id']} is set" in again.complaint
    assert f"`placet kill-switches list{' --tenant ' + tenant if tenant else ''}` shows the ids" in again.complaint
    assert again.complaint.endswith("(NOT_FOUND)")


def test_a_switch_of_one_tenant_does_not_stop_others(placet: Placet) -> None:
    was_set = kill(placet, "--tenant", "globex")
    assert authorize(placet)["effect"] == "allow"
    for where in ([], ["--tenant", "acme"]):
        wrong = clear(placet, was_set, *where)
        assert (wrong.code, "it belongs to tenant globex; add --tenant globex" in wrong.complaint) == (1, True)
    assert authorize(placet, tenant="globex")["rule_id"] == "kill_switch.tenant"
    assert clear(placet, was_set, "--tenant", "globex").code == 4
    assert clear(placet, was_set, "--tenant", "globex", actor="bob").code == 0


def test_a_global_switch_is_set_by_one_person_and_cleared_by_two(placet: Placet) -> None:
    was_set = kill(placet, "--global")
    assert authorize(placet)["rule_id"] == "kill_switch.global"
    assert authorize(placet, tenant="globex")["rule_id"] == "kill_switch.global"
    first = clear(placet, was_set)
    assert first.code == 4
    assert "a second person must run the same command" in first.complaint
    assert first.document["waiting"]["requested_by"] == "ann"
    assert "requested by ann" in placet("kill-switches", "list").out
    alone = clear(placet, was_set)
    assert alone.code == 1
    assert "a different person" in alone.complaint
    assert authorize(placet)["effect"] == "deny"
    assert clear(placet, was_set, actor="bob").code == 0
    assert authorize(placet)["effect"] == "allow"
    assert placet("audit", "verify", "--server").code == 0


def test_a_switch_works_while_the_engine_hangs(placet: Placet) -> None:
    engines = [each for each in psutil.Process().children(recursive=True) if "opa" in each.name()]
    assert engines
    for engine in engines:
        engine.suspend()
    try:
        was_set = kill(placet, "--tool", "jira.*", "--expires", "3600")
        assert was_set.document["kill_switch"]["expires_at"]
        assert authorize(placet)["rule_id"] == "kill_switch.tool"
        assert clear(placet, was_set).code == 0
    finally:
        for engine in engines:
            engine.resume()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name what to stop"),
        (["--tool", "a", "--agent", "b"], "use one of"),
        (["--global", "--tenant", "acme"], "--global stops every tenant"),
        (["--run", "run_7"], "--run needs --tenant"),
        (["--tool", "a b"], "scope.tool: must be"),
        (["--tool", "a", "--tenant", "A B"], "scope.tenant: must be"),
        (["--tool", "a", "--expires", "31536001"], "--expires"),
        (["--tool", "a", "--expires", "0"], "omit --expires for no expiry"),
        (["--tool", "a", "--expires", "-5"], "omit --expires for no expiry"),
        (["--workflow", "w" * 129], "scope.workflow: is 129 bytes"),
    ],
)
def test_wrong_usage_sets_no_switch(placet: Placet, arguments: list[str], complaint: str) -> None:
    ran = kill(placet, *arguments)
    assert ran.code == 2
    assert complaint in ran.complaint
    assert placet("kill-switches", "list", "-o", "json").document == {"kill_switches": []}


def test_the_actor_is_the_login_name(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "night-shift")
    was_set = placet("kill-switches", "set", "--tool", "nothing.*", "--reason", "a try", "-o", "json")
    assert was_set.document["kill_switch"]["actor"] == "night-shift"
    assert clear(placet, was_set).code == 0


def test_an_unknown_tenant_gives_a_warning(placet: Placet) -> None:
    was_set = kill(placet, "--tenant", "acmee")
    assert was_set.code == 0
    assert "the switch is set, but tenant 'acmee' has no policy file; did you mean acme?" in was_set.err
    [listed] = placet("kill-switches", "list", "--all", "-o", "json").document["kill_switches"]
    assert (listed["id"], listed["tenant"]) == (was_set.document["kill_switch"]["id"], "acmee")
    assert clear(placet, was_set, "--tenant", "acmee").code == 4
    assert clear(placet, was_set, "--tenant", "acmee", actor="bob").code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--tool", "jira.serch"], "tool 'jira.serch' matches no known tool; did you mean jira.search?"),
        (["--tool", "stripe.refnd*", "--tenant", "acme"], "tool 'stripe.refnd*' matches no known tool"),
        (["--agent", "suport-agent"], "agent 'suport-agent' matches no known agent; did you mean support-agent?"),
        (["--workflow", "refunds-eu"], "workflow 'refunds-eu' matches no known workflow"),
        (["--run", "run_77", "--tenant", "acme"], "run_id 'run_77' is not a recorded run; check the id"),
        (["--tenant", "globx"], "tenant 'globx' has no policy file; did you mean globex?"),
    ],
)
def test_an_unknown_name_gives_a_warning_or_is_refused_when_strict(
    placet: Placet, arguments: list[str], complaint: str
) -> None:
    authorize(placet)
    misspelt = authorize(placet, tool="jira.serch")  # a denied call does not make the name known
    assert misspelt["rule_id"] == "pdp.unknown_tool"
    strict = kill(placet, *arguments, "--strict")
    assert strict.code == 2
    assert complaint.split(" ", 1)[1].split(";", maxsplit=1)[0] in strict.complaint
    assert not placet("kill-switches", "list", "--all", "-o", "json").document["kill_switches"]
    was_set = kill(placet, *arguments)
    assert was_set.code == 0
    assert f"placet: warning: the switch is set, but {complaint}" in was_set.err
    assert len(was_set.document["warnings"]) == 1
    tenant = was_set.document["kill_switch"]["tenant"]
    where = ["--tenant", tenant] if tenant else []
    codes = [clear(placet, was_set, *where, actor=actor).code for actor in ("ann", "bob")]
    assert 0 in codes


def test_a_known_name_gives_no_warning(placet: Placet) -> None:
    authorize(placet, "--workflow", "triage")
    for arguments in (["--tool", "jira.*"], ["--agent", "SUPPORT-AGENT"], ["--workflow", "triage"], ["--global"]):
        was_set = kill(placet, *arguments, "--strict")
        assert (was_set.code, was_set.err, was_set.document["warnings"]) == (0, "", [])
        for actor in ("ann", "bob"):
            clear(placet, was_set, actor=actor)
    assert not placet("kill-switches", "list", "--all", "-o", "json").document["kill_switches"]


def test_the_subject_of_a_switch_cannot_clear_it(placet: Placet) -> None:
    authorize(placet)
    was_set = kill(placet, "--agent", "support-agent")
    for actor in ("support-agent", " Support-Agent"):
        refused = clear(placet, was_set, actor=actor)
        assert refused.code == 1
        assert "CONCERNED_MAY_NOT_CHANGE" in refused.complaint
    assert authorize(placet)["effect"] == "deny"
    assert clear(placet, was_set).code == 0


def test_a_switch_outside_a_tenant_is_cleared_without_tenant(placet: Placet) -> None:
    was_set = kill(placet, "--tool", "jira.*")
    wrong = clear(placet, was_set, "--tenant", "acme")
    assert wrong.code == 1
    assert "it belongs to no tenant; omit --tenant" in wrong.complaint
    assert clear(placet, was_set).code == 0
    assert placet("kill-switches", "list", "--all", "--tenant", "acme").code == 2


def test_a_failed_set_says_first_whether_it_is_set(
    placet: Placet, asking: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise LedgerUnavailableError("disk full", DISK_FULL)

    monkeypatch.setattr(asking.running.ledger, "commit", full)
    ran = kill(placet, "--tool", "jira.*")
    assert ran.code == 5
    assert ran.complaint.startswith("it is not known whether the switch is set, see `placet kill-switches list`; ")
    assert "idempotency_key" not in ran.complaint
    assert ran.complaint.endswith(f"see `placet kill-switches list`; {DISK_FULL} (LEDGER_UNAVAILABLE)")
    monkeypatch.undo()
    assert placet("kill-switches", "list", "-o", "json", "--address", asking.address).document == {"kill_switches": []}
    unreachable = kill(placet, "--tool", "jira.*", "--address", "127.0.0.1:9")
    assert unreachable.complaint.startswith("NOT set; ")


def test_a_switch_whose_revocations_fail_is_set_and_lists_the_permits(
    placet: Placet, asking: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = authorize(placet)
    commit = asking.running.ledger.commit

    async def no_room_for_revocations(commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        if any(each.kind is RecordKind.PERMIT_REVOKED for each in commitments):
            raise LedgerUnavailableError("disk full")
        return await commit(commitments)

    monkeypatch.setattr(asking.running.ledger, "commit", no_room_for_revocations)
    ran = kill(placet, "--tool", "jira.search")
    assert ran.code == 5
    assert "is set and stops every new call, but" in ran.complaint
    assert "could not be revoked" in ran.complaint
    assert ran.document["revoked"] == []
    assert allowed["decision_id"] in {each["decision_id"] for each in ran.document["not_revoked"]}
    assert allowed["decision_id"] in placet("kill-switches", "set", "--tool", "jira.search", "--reason", "r").out
    assert authorize(placet)["rule_id"] == "kill_switch.tool"
    monkeypatch.setattr(asking.running.ledger, "commit", commit)
    again = kill(placet, "--tool", "jira.search")
    assert again.code == 0
    assert allowed["decision_id"] in {each["decision_id"] for each in again.document["revoked"]}
    assert clear(placet, again, actor="bob").code == 0


def test_a_switch_is_set_when_the_answer_of_its_commit_is_lost(
    placet: Placet, asking: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = asking.running.ledger.commit
    lost: list[Sequence[Commitment]] = []

    async def lose_the_answer_once(commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        results = await commit(commitments)
        if not lost:
            lost.append(commitments)
            raise LedgerUnavailableError("connection closed")
        return results

    monkeypatch.setattr(asking.running.ledger, "commit", lose_the_answer_once)
    ran = kill(placet, "--tool", "jira.*")
    assert lost
    assert (ran.code, ran.err) == (0, "")
    assert clear(placet, ran).code == 0


def test_other_commands_warn_about_an_unknown_tenant(placet: Placet) -> None:
    lists = (["budgets", "list"], ["budgets", "excesses"], ["approvals", "list"], ["autonomy", "list"])
    for command in (*lists, ["kill-switches", "list"], ["audit", "decisions", "--tool", "none.such"]):
        assert (
            "tenant 'acmee' has no policy file; did you mean acme?" in placet(*command, "--tenant", "acmee").complaint
        )
        assert not placet(*command, "--tenant", "acme").err
    pending = placet("autonomy", "set", "execute", "--tenant", "acmee", "--reason", "r", "--as", "ann")
    assert "warning: tenant 'acmee' has no policy file; did you mean acme?" in pending.err
    strict = ["autonomy", "set", "draft_only", "--tenant", "acme", "--reason", "r", "--as", "ann", "--strict"]
    refused = placet(*strict, "--tool", "jira.serch")
    assert refused.code == 2
    assert "did you mean jira.search?" in refused.complaint
    assert not placet("autonomy", "list", "--tenant", "acme", "-o", "json").document["rules"]


def test_autonomy_is_lowered_by_one_person_and_raised_by_two(placet: Placet) -> None:
    def level(level_or_unset: str, actor: str = "ann") -> Ran:
        where = ["--tenant", "globex", "--agent", "support-agent"]
        words = ["unset"] if level_or_unset == "unset" else ["set", level_or_unset]
        return placet("autonomy", *words, *where, "--reason", "new model", "--as", actor, "-o", "json")

    assert level("observe_only").document["rule"]["level"] == "observe_only"
    (rule,) = placet("autonomy", "list", "--tenant", "globex", "-o", "json").document["rules"]
    assert (rule["agent"], rule["actor"], rule["reason"]) == ("support-agent", "ann", "new model")
    assert placet("autonomy", "list", "--tenant", "acme", "-o", "json").document == {"rules": []}
    first = level("unset")
    assert (first.code, first.document["applied"]) == (4, False)
    assert level("unset").code == 1
    assert level("unset", "bob").document == {"applied": True, "rule": None, "waiting": None}
    assert "level" in placet("autonomy", "list", "--tenant", "globex").out
    assert placet("autonomy", "set", "much", "--tenant", "globex", "--reason", "r").code == 2


def test_budgets_are_listed_shown_and_adjusted(placet: Placet) -> None:
    listed = placet("budgets", "list", "--tenant", "initech")
    assert listed.code == 0
    assert {"limits.max_tool_calls", "refunds.per_month", "spend.per_user_per_day"} <= set(listed.out.split())
    where = ["tickets.per_agent_per_hour", "--tenant", "initech"]

    def adjust(amount: int, actor: str = "ann") -> Ran:
        what = ["--scope-key", "agent:support-agent", f"--amount={amount}", "--reason", "counted twice"]
        return placet("budgets", "adjust", *where, *what, "--as", actor, "-o", "json")

    assert adjust(3).document["counter"]["used"] == 3
    shown = placet("budgets", "show", *where, "-o", "json").document
    assert [(each["scope_key"], each["remaining"]) for each in shown["counters"]] == [("agent:support-agent", 27)]
    assert "agent:support-agent" in placet("budgets", "show", *where).out
    assert adjust(20).code == 4
    assert adjust(20, "bob").document["counter"]["remaining"] == 7
    back = adjust(-24)
    assert back.code == 1
    assert "agent:support-agent has used 23 of calls in this window, but the adjustment gives back 24" in back.complaint
    unheard = placet("budgets", "show", "unheard_of", "--tenant", "initech")
    assert (unheard.code, unheard.complaint.split("; ")[1]) == (1, "see `placet budgets list` (NOT_FOUND)")
    misspelt = placet("budgets", "show", "ticket.per_agent_per_hour", "--tenant", "initech")
    assert misspelt.complaint.endswith("; did you mean tickets.per_agent_per_hour? (NOT_FOUND)")
    assert placet("budgets", "list", "--tenant", "unknown", "-o", "json").document == {"budgets": []}
    nothing = placet("budgets", "adjust", *where, "--scope-key", "agent:a", "--amount", "0", "--reason", "r")
    assert nothing.code == 2
    assert "amount: is 0" in nothing.complaint


def test_an_adjustment_names_its_unit(placet: Placet) -> None:
    def adjust(amount: str) -> Ran:
        what = ["refunds.per_customer_per_day", "--tenant", "initech", "--scope-key", "customer:cus_42"]
        return placet("budgets", "adjust", *what, "--amount", amount, "--reason", "r", "--as", "ann", "-o", "json")

    wrong_key = placet(
        "budgets", "adjust", "refunds.per_customer_per_day", "--tenant", "initech", "--scope-key", "u_9",
        "--amount", "1", "--reason", "r", "--as", "ann",
    )  # fmt: skip
    assert "has no counter u_9; a scope key of it looks like customer:cus_42" in wrong_key.complaint
    hints = {"10.00": "write 1000 for 10.00, or '10.00 USD'", "1_000": "write 4500 for 45.00, or '45.00 USD'"}
    for unclear, hint in hints.items():
        refused = adjust(unclear)
        assert refused.code == 2
        assert hint in refused.complaint
    assert adjust("10.00 USD").document["counter"]["used"] == 1_000
    where = ["refunds.per_customer_per_day", "--tenant", "initech"]
    assert "240.00 USD" in placet("budgets", "show", *where).out
    strict = placet(
        "budgets", "adjust", *where, "--scope-key", "customer:cus_24", "--amount", "5", "--reason", "r", "--strict"
    )
    assert strict.code == 2
    assert "scope_key: 'customer:cus_24' has no usage in this window; did you mean" in strict.complaint
    listed = placet("budgets", "list", "--tenant", "initech").out
    assert "250.00 USD" in listed
    assert "2.00 USD" in listed
    assert adjust("-1000").document["counter"]["used"] == 0


def held_outcome(placet: Placet, run_id: str) -> str:
    """A decision of initech whose outcome reported far more than was reserved."""
    document = authorize(placet, "--run-id", run_id, tool="kb.search", tenant="initech")
    assert document["effect"] == "allow", document
    name: str = document["decision_id"]
    ran = placet(
        "outcomes", "report", name, "--tenant", "initech", "--status", "succeeded", "--cost-micros", "9000000000",
        "-o", "json",
    )  # fmt: skip
    assert "spend.per_user_per_day" in ran.document["held"]
    return name


def excesses(placet: Placet) -> list[str]:
    return [
        each["decision_id"]
        for each in placet("budgets", "excesses", "--tenant", "initech", "-o", "json").document["excesses"]
    ]


def test_an_excess_is_listed_and_decided_once_by_another_person(placet: Placet, asking: Server) -> None:
    first, second = held_outcome(placet, "run_excess_1"), held_outcome(placet, "run_excess_2")
    assert asking.running.metrics.registry.get_sample_value("placet_outcomes_held_total") == 2
    assert {first, second} <= set(excesses(placet))
    table = placet("budgets", "excesses", "--tenant", "initech").out
    assert first in table
    assert "cost" in table
    why = ("--tenant", "initech", "--reason", "a wrong unit")
    for actor in ("support-agent", "u_1"):
        ran = placet("budgets", "drop-excess", first, *why, "--as", actor)
        assert ran.code != 0
        assert "MAY_NOT_CHANGE" in ran.complaint or "a different person" in ran.complaint
    dropped = placet("budgets", "drop-excess", first, *why, "--as", "ann", "-o", "json")
    assert (dropped.code, dropped.document["accepted"]) == (0, False)
    assert dropped.document["excess"]["parts"][0]["unit"] == "cost"
    accepted = placet("budgets", "accept-excess", second, *why, "--as", "ann")
    assert (accepted.code, second in accepted.out) == (0, True)
    assert not {first, second} & set(excesses(placet))
    again = placet("budgets", "accept-excess", first, *why, "--as", "ann")
    assert again.code != 0
    assert "already" in again.complaint
