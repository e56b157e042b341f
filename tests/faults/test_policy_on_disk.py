"""Policy changes under a serving server: what is good takes over between two calls, what is broken changes nothing."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest

from placet.sdk import ControlClient
from tests.faults.serving import NOT_SERVING, SERVING, eventually, free_address, refused
from tests.faults.traffic import READ, REPLY, RIGHT, Answered, ask, ask_rightly, check_recorded, traffic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.serving import Server

RELOAD_SECONDS_MAX = 12.0
TENANT = "config/acme.yaml"
PACK = "policy/refunds/refunds.rego"
ASKS = f"{REPLY}: {{quorum: 1, approver_roles: [support_lead]}}"
ASKS_NOT = f"{REPLY}: not_required"
BY_POLICY = {ASKS: ("require_approval", "approvals.required"), ASKS_NOT: ("allow", "tools.listed_write")}


@pytest.fixture
def unasked(serve: Callable[..., Server], tmp_path: Path) -> Server:
    """A server that serves what lost restrictions without a question, such as `not_required` in place of a quorum."""
    (tmp_path / "unasked.toml").write_text("confirm_policy_removals = false")
    return serve(config=tmp_path / "unasked.toml")


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def changed(server: Server, old: str, new: str) -> str:
    """Change the tenant's file; the revision that is served when the change is in force."""
    before = server.status().policy_revision
    change(server.rego_dir / TENANT, old, new)
    eventually(lambda: server.status().policy_revision != before, RELOAD_SECONDS_MAX)
    return server.status().policy_revision


def spoil(rego_dir: Path) -> Callable[[], None]:
    """Break a pack; what mends it again."""
    file = rego_dir / PACK
    whole = file.read_bytes()
    file.write_bytes(whole + b"\nbroken\n")

    def mend() -> None:
        file.write_bytes(whole)

    return mend


def test_a_broken_change_leaves_the_old_revision_in_force(serve: Callable[..., Server], rego_dir: Path) -> None:
    server = serve(metrics_listen=free_address())
    before = server.status()
    with traffic(server) as asked:
        asked.more(10)
        mend = spoil(rego_dir)
        eventually(lambda: server.status().last_error, RELOAD_SECONDS_MAX)
        asked.more(30)
        status = server.status()
        mend()
        eventually(lambda: not server.status().last_error, RELOAD_SECONDS_MAX)
        change(rego_dir / TENANT, "jira.search", "jira.find")
        eventually(lambda: server.status().policy_revision != before.policy_revision, RELOAD_SECONDS_MAX)
    assert PACK in status.last_error
    assert (status.ready, status.policy_revision) == (True, before.policy_revision)
    assert (status.reloads_refused, status.reloads_accepted) == (1, 0)
    assert server.health() == SERVING
    assert {each.rule_id for each in asked.wrong} <= {"pdp.unknown_tool"}  # after the last change
    assert not asked.failed
    assert server.metric('placet_policy_reloads_total{result="refused"}') == 1
    [record] = server.records("policy.refused")
    assert (record["policy_revision"], record["problems"] > 0) == (before.policy_revision, True)
    assert [each["policy_revision"] for each in server.records("policy.activated")] == [
        before.policy_revision,
        server.status().policy_revision,
    ]
    check_recorded(server, asked)


def test_a_good_change_takes_over_without_a_wrong_answer(unasked: Server) -> None:
    server = unasked
    before, opas = server.status().policy_revision, [server.opa]
    says = {before: BY_POLICY[ASKS]}
    with traffic(server, tools=(REPLY, READ)) as asked:
        for old, new in ((ASKS, ASKS_NOT), (ASKS_NOT, ASKS)):
            says[changed(server, old, new)] = BY_POLICY[new]
            asked.more(20)
            opas.append(server.opa)
    assert not asked.failed
    for each in asked.answered:
        assert (each.effect, each.rule_id) == (RIGHT[READ] if each.tool == READ else says[each.revision])
    revisions = [each.revision for each in sorted(asked.answered, key=lambda each: each.at)]
    assert (revisions[0], set(revisions), revisions[-1]) == (before, set(says), before)
    eventually(lambda: not any(opa.is_running() for opa in opas[:-1]), 5, "an old OPA is left over")
    assert (server.status().reloads_accepted, len(says)) == (2, 2)
    check_recorded(server, asked)


def test_a_policy_that_cannot_be_seen_for_too_long_denies_and_health_says_so(
    serve: Callable[..., Server], rego_dir: Path
) -> None:
    server = serve(max_policy_age_seconds=2, metrics_listen=free_address())
    assert server.metric("placet_policy_stale_in_seconds") == math.inf
    until = time.monotonic() + 3
    with traffic(server, callers=1) as asked:
        eventually(lambda: time.monotonic() > until, 4)
    assert not asked.wrong  # files that stay as they are confirm it
    with traffic(server, callers=1, tools=(READ,)) as asked, server.watched_health() as health:
        rego_dir.rename(rego_dir.with_name("away"))
        eventually(lambda: server.status().decides_until, RELOAD_SECONDS_MAX)
        eventually(lambda: asked.rule_ids["pdp.policy_stale"] > 0, RELOAD_SECONDS_MAX)
        eventually(lambda: server.health() == NOT_SERVING, 5)
        status, metrics = server.status(), [server.metric(f"placet_{name}") for name in ("ready", "policy_stale")]
        left = server.metric("placet_policy_stale_in_seconds")
        rego_dir.with_name("away").rename(rego_dir)
        asked.more(5, RELOAD_SECONDS_MAX)
        eventually(lambda: server.health() == SERVING, 5)
    assert {each.rule_id for each in asked.wrong} == {"pdp.policy_stale"}
    assert (status.serving, status.stale, metrics, left) == (False, True, [0, 1], 0)
    assert "pdp.policy_stale denies every call" in status.not_serving_reasons[0]
    assert health == [SERVING, NOT_SERVING, SERVING]
    [refused] = server.events("policy refused")
    assert "then pdp.policy_stale" in refused["old_revision_decides"]
    [stale] = server.events("policy stale")
    assert (stale["level"], stale["revision"]) == ("error", status.policy_revision)
    assert len(server.events("policy no longer stale")) == 1
    assert server.metric("placet_policy_stale_in_seconds") == math.inf
    check_recorded(server, asked)


def test_a_bad_push_stops_nothing_however_old_it_gets(serve: Callable[..., Server], rego_dir: Path) -> None:
    server = serve(max_policy_age_seconds=1, metrics_listen=free_address())
    mend = spoil(rego_dir)
    eventually(lambda: server.metric("placet_policy_refused") == 1, RELOAD_SECONDS_MAX)
    until = time.monotonic() + 4
    with traffic(server, callers=1) as asked:
        eventually(lambda: time.monotonic() > until, 5)
    assert not asked.wrong
    status = server.status()
    assert (status.serving, status.stale, status.decides_until) == (True, False, None)
    assert f"{PACK}:" in status.last_error
    [refused] = server.events("policy refused")
    assert refused["old_revision_decides"] == "until a newer one is accepted"
    assert (server.health(), server.health("placet.policy")) == (SERVING, NOT_SERVING)
    mend()
    eventually(lambda: server.health("placet.policy") == SERVING, RELOAD_SECONDS_MAX)
    assert server.metric("placet_policy_refused") == 0


CUT_AT = b"  destinations:"


def test_a_file_that_was_cut_off_does_not_widen_what_is_allowed(serve: Callable[..., Server], rego_dir: Path) -> None:
    server = serve(metrics_listen=free_address())
    before, file = server.status().policy_revision, rego_dir / TENANT
    whole = file.read_bytes()
    with traffic(server) as asked:
        file.write_bytes(whole.partition(CUT_AT)[0])
        eventually(lambda: server.metric("placet_policy_held") == 1, RELOAD_SECONDS_MAX)
        held = server.status().held_revision
        asked.more(10)
    assert {each.revision for each in asked.answered} == {before}
    assert not asked.wrong
    assert (server.health(), server.health("placet.policy")) == (SERVING, NOT_SERVING)
    [told] = server.events("policy held")
    assert (told["level"], told["revision"], told["held_revision"]) == ("warning", before, held)
    assert f"placet policy confirm {held}" in told["old_revision_decides"]
    server.kill()
    again = serve()
    assert (again.status().policy_revision, again.status().held_revision) == (before, held)
    assert ask_rightly(again)
    with ControlClient(again.address, timeout=10) as control:
        assert control.confirm_policy(held, actor="ann", reason="it is meant").activated
    assert (again.status().policy_revision, again.status().held_revision) == (held, "")
    again.kill()
    assert serve().status().policy_revision == held
    check_recorded(again, asked)


def test_nobody_is_asked_where_the_setting_says_so(
    serve: Callable[..., Server], rego_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "asked.toml").write_text("confirm_policy_removals = false")
    server = serve(config=tmp_path / "asked.toml")
    before, file = server.status().policy_revision, rego_dir / TENANT
    file.write_bytes(file.read_bytes().partition(CUT_AT)[0])
    eventually(lambda: server.status().policy_revision != before, RELOAD_SECONDS_MAX)
    assert not server.events("policy held")


def test_what_is_not_the_policys_fault_is_tried_again(unasked: Server, rego_dir: Path) -> None:
    server = unasked
    now = server.status().policy_revision
    cache, away = server.data_dir / "bundles", server.data_dir / "away"
    cache.rename(away)
    cache.write_text("no folder")
    change(rego_dir / TENANT, ASKS, ASKS_NOT)
    eventually(lambda: "cannot be written" in server.status().last_error, RELOAD_SECONDS_MAX)
    assert ask_rightly(server)
    cache.unlink()
    away.rename(cache)
    eventually(lambda: server.status().policy_revision != now, RELOAD_SECONDS_MAX)
    assert server.status().last_error == ""
    assert len(server.records("policy.refused")) == 1  # told once, however often it was tried


@pytest.mark.parametrize("name", [b"\xff.yaml", b"caf\xe9.rego"])
def test_a_file_whose_name_is_no_text_is_refused_and_recorded(server: Server, rego_dir: Path, name: bytes) -> None:
    file = (rego_dir / TENANT).with_name(name.decode(errors="surrogateescape"))
    file.write_text("{")
    eventually(lambda: server.records("policy.refused"), RELOAD_SECONDS_MAX)
    until = time.monotonic() + 3  # who watches the folder cannot read the name
    with traffic(server, callers=1) as asked:
        eventually(lambda: time.monotonic() > until, 4)
    assert not asked.wrong
    assert not asked.failed
    assert server.process.poll() is None
    file.unlink()
    eventually(lambda: not server.status().last_error, RELOAD_SECONDS_MAX)


def test_the_policy_folder_is_moved_away_and_back(unasked: Server, rego_dir: Path) -> None:
    server = unasked
    away = rego_dir.with_name("away")
    rego_dir.rename(away)
    eventually(lambda: str(rego_dir) in server.status().last_error, RELOAD_SECONDS_MAX)
    assert ask_rightly(server)
    away.rename(rego_dir)
    eventually(lambda: not server.status().last_error, RELOAD_SECONDS_MAX)
    change(rego_dir / TENANT, ASKS, ASKS_NOT)
    eventually(lambda: isinstance(said := ask(server, REPLY), Answered) and said.effect == "allow", RELOAD_SECONDS_MAX)


def test_a_server_does_not_start_with_a_broken_policy(tmp_path: Path, rego_dir: Path) -> None:
    spoil(rego_dir)
    change(rego_dir / TENANT, "allowed_tools:", "alowed_tools:")
    code, lines = refused(tmp_path, rego_dir)
    assert code == 2
    assert lines
    assert all(line.startswith("placet: ") for line in lines)
    assert any(TENANT in line and "did you mean allowed_tools?" in line for line in lines)
    change(rego_dir / TENANT, "alowed_tools:", "allowed_tools:")
    code, lines = refused(tmp_path, rego_dir)
    assert code == 2
    assert len(lines) == 1
    assert f"{rego_dir / PACK}:" in lines[0]
