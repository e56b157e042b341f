"""Kill switches over a ledger: set, seen by decision points, revoking, cleared by one or by two."""

from __future__ import annotations

import asyncio

import pytest

from placet.audit.records import Conflict, RecordKind
from placet.controls.kill_switches.model import KillScope, covering
from placet.controls.versions import version_key
from placet.kernel.errors import FailedPreconditionError, NotFoundError, PermissionDeniedError
from placet.kernel.limits import CONTROL_REQUEST_TTL_SECONDS, KILL_SWITCHES_MAX, PERMIT_TTL_SECONDS
from placet.kernel.model import Effect
from placet.kernel.state import RequireVersion, RowQuery, StateTable
from tests.storage.making import commitment, proposal
from tests.support.fakes import NOW_US
from tests.support.operators import HOUR_US, Operators, switch
from tests.support.replacing import replace

OF_THE_PROPOSAL = [
    (KillScope.GLOBAL, "", ""),
    (KillScope.TENANT, "acme", ""),
    (KillScope.TOOL, "acme", "jira.search"),
    (KillScope.TOOL, "", "jira.*"),
    (KillScope.TOOL, "acme", "*.search"),
    (KillScope.TOOL, "acme", "jira.?earch"),
    (KillScope.AGENT, "", "support-agent"),
    (KillScope.WORKFLOW, "acme", "triage"),
    (KillScope.RUN, "acme", "run_1"),
]
OF_OTHERS = [
    (KillScope.TENANT, "globex", ""),
    (KillScope.TOOL, "acme", "jira"),
    (KillScope.TOOL, "globex", "jira.search"),
    (KillScope.AGENT, "acme", "support"),
    (KillScope.WORKFLOW, "", "refunds"),
    (KillScope.RUN, "globex", "run_1"),
    (KillScope.RUN, "acme", "run_12"),
]


async def stopped(operators: Operators, number: int = 1) -> bool:
    proposed = proposal(number)
    tenant = proposed.identity.tenant
    controls = (await operators.state.of({tenant}))[tenant]
    return covering(controls.switches, proposed, operators.clock.wall_us()) is not None


@pytest.mark.parametrize(("scope", "tenant", "value"), OF_THE_PROPOSAL)
async def test_what_a_switch_covers_is_stopped_and_its_young_permits_revoked(
    scope: KillScope, tenant: str, value: str
) -> None:
    operators = Operators(acme={}, globex={})
    await operators.ledger.commit([commitment(1, decided_at_us=NOW_US - 1)])
    assert not await stopped(operators)
    set_now, revoked = await operators.kills.set(switch(scope, value, tenant))
    assert await stopped(operators)
    assert [(each.tenant, each.decision_id, each.tool) for each in revoked.revoked] == [
        ("acme", f"dec_{1:032x}", "jira.search")
    ]
    (event,) = await operators.ledger.events_of("acme", f"dec_{1:032x}")
    assert (event.kind, event.body["kill_switch_id"]) == (RecordKind.PERMIT_REVOKED, set_now.switch_id)
    (told,) = operators.records(RecordKind.KILL_SWITCH_SET)
    assert (told["actor"], told["reason"], told["value"], told["tenant"]) == ("ann", "it runs wild", value, tenant)


@pytest.mark.parametrize(("scope", "tenant", "value"), OF_OTHERS)
async def test_what_a_switch_does_not_cover_goes_on(scope: KillScope, tenant: str, value: str) -> None:
    operators = Operators(acme={}, globex={})
    await operators.ledger.commit([commitment(1, decided_at_us=NOW_US - 1)])
    _, revoked = await operators.kills.set(switch(scope, value, tenant))
    assert not revoked.revoked
    assert not await stopped(operators)


async def test_permits_of_denies_and_those_that_have_run_out_are_not_revoked() -> None:
    operators = Operators(acme={})
    long_ago = NOW_US - (PERMIT_TTL_SECONDS + 10) * 1_000_000
    await operators.ledger.commit(
        [
            commitment(1, effect=Effect.DENY, decided_at_us=NOW_US - 1),
            commitment(2, effect=Effect.REQUIRE_APPROVAL, decided_at_us=NOW_US - 1),
            commitment(3, decided_at_us=long_ago),
        ]
    )
    assert not (await operators.kills.set(switch(KillScope.TENANT)))[1].revoked


async def test_a_switch_of_no_tenant_revokes_in_every_tenant_that_is_known() -> None:
    operators = Operators(acme={})
    await operators.ledger.commit(
        [commitment(1, decided_at_us=NOW_US - 2), commitment(2, tenant="gone", decided_at_us=NOW_US - 1)]
    )
    await operators.state.of({"gone"})
    operators.source.policy = None
    _, revoked = await operators.kills.set(switch(KillScope.GLOBAL, tenant=""))
    assert {each.tenant for each in revoked.revoked} == {"gone"}
    operators = Operators(operators.ledger, acme={}, gone={})
    _, revoked = await operators.kills.set(switch(KillScope.TOOL, "*", tenant=""))
    assert {each.tenant for each in revoked.revoked} == {"acme", "gone"}


async def test_more_permits_than_fit_a_page_are_all_revoked() -> None:
    operators = Operators(acme={})
    await operators.ledger.commit([commitment(number, decided_at_us=NOW_US - number) for number in range(1, 1_203)])
    _, revoked = await operators.kills.set(switch(KillScope.TENANT))
    assert len(revoked.revoked) == len(operators.records(RecordKind.PERMIT_REVOKED)) == 1_202


async def test_a_decision_that_looked_before_the_switch_was_set_is_not_committed() -> None:
    operators = Operators(acme={})
    other_replica = Operators(operators.ledger, acme={})
    seen = (await other_replica.state.of({"acme"}))["acme"]
    await operators.kills.set(switch(KillScope.TOOL, "jira.*"))
    late = replace(commitment(1), changes=seen.expects)
    (result,) = await operators.ledger.commit([late])
    assert isinstance(result, Conflict)
    assert not await stopped(other_replica), "it still holds what it saw"
    other_replica.state.forget({"acme"})
    assert await stopped(other_replica)


async def test_a_switch_of_no_tenant_moves_what_every_decision_rests_on() -> None:
    operators = Operators(acme={})
    before = (await operators.state.of({"acme"}))["acme"].expects
    assert set(before) == {RequireVersion(version_key("acme"), 0), RequireVersion(version_key(""), 0)}
    await operators.kills.set(switch(KillScope.GLOBAL, tenant=""))
    after = (await operators.state.of({"acme"}))["acme"].expects
    assert set(after) == {RequireVersion(version_key("acme"), 0), RequireVersion(version_key(""), 1)}


async def test_a_switch_ends_by_itself() -> None:
    operators = Operators(acme={})
    await operators.kills.set(switch(KillScope.TENANT, expires_after_seconds=3_600))
    assert await stopped(operators)
    operators.clock.wall += HOUR_US
    assert not await stopped(operators)
    assert not await operators.kills.list("acme")
    with pytest.raises(NotFoundError):
        await operators.kills.clear("ks_1", "acme", "ann", "over")
    await operators.kills.set(switch(KillScope.TOOL, "x"))
    rows = (await operators.ledger.list_rows(RowQuery(StateTable.KILL_SWITCHES, "acme"))).rows
    assert sorted(row.status for row in rows) == ["expired", "set"]


async def test_setting_what_is_set_does_not_shorten_it() -> None:
    operators = Operators(acme={})
    first, _ = await operators.kills.set(switch(KillScope.TENANT))
    again, _ = await operators.kills.set(switch(KillScope.TENANT, expires_after_seconds=1, actor="bob"))
    assert (again.switch_id, again.expires_at_us, again.actor) == (first.switch_id, 0, "bob")
    await operators.kills.set(switch(KillScope.TOOL, "x", expires_after_seconds=100))
    shorter, _ = await operators.kills.set(switch(KillScope.TOOL, "x", expires_after_seconds=10))
    assert shorter.expires_at_us == NOW_US + 100_000_000
    longer, _ = await operators.kills.set(switch(KillScope.TOOL, "x", expires_after_seconds=200))
    assert longer.expires_at_us == NOW_US + 200_000_000
    assert len(await operators.kills.list("acme")) == 2


async def test_one_person_clears_what_does_not_stop_everything() -> None:
    operators = Operators(acme={})
    was, _ = await operators.kills.set(switch(KillScope.TOOL, "jira.*"))
    cleared = await operators.kills.clear(was.switch_id, "acme", "bob", "mended")
    assert cleared.waiting is None
    assert not await stopped(operators)
    (told,) = operators.records(RecordKind.KILL_SWITCH_CLEARED)
    assert (told["actor"], told["kill_switch_id"], told["request_id"]) == ("bob", was.switch_id, "")
    with pytest.raises(NotFoundError):
        await operators.kills.clear(was.switch_id, "acme", "bob", "mended")
    (refused,) = operators.records(RecordKind.CONTROL_REFUSED)
    assert (refused["refusal"], refused["target"], refused["actor"]) == ("NOT_FOUND", was.switch_id, "bob")
    await operators.kills.set(switch(KillScope.TOOL, "jira.*"))
    assert await stopped(operators), "it can be set again"


async def test_two_persons_clear_a_global_switch() -> None:
    operators = Operators(acme={})
    was, _ = await operators.kills.set(switch(KillScope.GLOBAL, tenant=""))
    first = await operators.kills.clear(was.switch_id, "", "ann", "mended")
    assert first.waiting is not None
    assert await stopped(operators)
    (listed,) = await operators.kills.list("")
    assert listed.clearing == first.waiting
    for spelling in ("ann", " Ann"):
        with pytest.raises(PermissionDeniedError) as refused:
            await operators.kills.clear(was.switch_id, "", spelling, "now, please")
        assert refused.value.reason == "SECOND_PERSON_NEEDED"
    second = await operators.kills.clear(was.switch_id, "", "bob", "so it is")
    assert second.waiting is None
    assert not await stopped(operators)
    (told,) = operators.records(RecordKind.KILL_SWITCH_CLEARED)
    assert (told["requested_by"], told["actor"]) == ("ann", "bob")
    assert told["request_id"] == first.waiting.request_id
    assert len(operators.records(RecordKind.CONTROL_REFUSED)) == 2


@pytest.mark.parametrize(
    ("scope", "value", "tenant"),
    [
        (KillScope.TENANT, "", "acme"),
        (KillScope.TOOL, "*", "acme"),
        (KillScope.TOOL, "*.*", ""),
        (KillScope.TOOL, "?*", "acme"),
        (KillScope.TOOL, "**", ""),
        (KillScope.TOOL, "*e*", ""),
        (KillScope.TOOL, "*.se*", "acme"),
        (KillScope.TOOL, "*ira.search*", ""),
        (KillScope.TOOL, "jir?.search", ""),
        (KillScope.TOOL, "jira*", ""),
    ],
)
async def test_two_persons_clear_whatever_stops_everything(scope: KillScope, value: str, tenant: str) -> None:
    operators = Operators(acme={})
    was, _ = await operators.kills.set(switch(scope, value, tenant))
    first = await operators.kills.clear(was.switch_id, tenant, "ann", "mended")
    assert first.waiting is not None
    assert await stopped(operators)
    (listed,) = await operators.kills.list(tenant)
    assert listed.clearing == first.waiting
    assert (await operators.kills.clear(was.switch_id, tenant, "bob", "yes")).waiting is None
    assert not await stopped(operators)


@pytest.mark.parametrize(
    ("value", "tenant"),
    [("jira.*", ""), ("jira.se*", ""), ("jira.search", ""), ("jira*", "acme"), ("*ira.search*", "acme")],
)
async def test_one_person_clears_a_pattern_of_a_whole_first_part_or_of_one_tenant(value: str, tenant: str) -> None:
    operators = Operators(acme={})
    was, _ = await operators.kills.set(switch(KillScope.TOOL, value, tenant))
    assert await stopped(operators)
    assert (await operators.kills.clear(was.switch_id, tenant, "ann", "mended")).waiting is None
    assert not await stopped(operators)


@pytest.mark.parametrize(
    ("scope", "value", "actor", "reason"),
    [
        (KillScope.AGENT, "support-agent", "Support-Agent ", "CONCERNED_MAY_NOT_CHANGE"),
        (KillScope.RUN, "run_1", "u_1", "CONCERNED_MAY_NOT_CHANGE"),
        (KillScope.RUN, "run_1", "support-agent", "AGENT_MAY_NOT_CHANGE"),
        (KillScope.TOOL, "jira.*", "support-agent", "AGENT_MAY_NOT_CHANGE"),
        (KillScope.WORKFLOW, "triage", "support-agent", "AGENT_MAY_NOT_CHANGE"),
        (KillScope.TENANT, "", "support-agent", "AGENT_MAY_NOT_CHANGE"),
    ],
)
async def test_whom_a_switch_concerns_and_agents_do_not_clear_it(
    scope: KillScope, value: str, actor: str, reason: str
) -> None:
    operators = Operators(acme={})
    await operators.ledger.commit([commitment(1, decided_at_us=NOW_US - 1)])
    was, _ = await operators.kills.set(switch(scope, value))
    for spelling in (actor, actor.upper(), f" {actor}"):
        with pytest.raises(PermissionDeniedError) as refused:
            await operators.kills.clear(was.switch_id, "acme", spelling, "let me")
        assert refused.value.reason == reason
    assert await stopped(operators)
    assert {each["refusal"] for each in operators.records(RecordKind.CONTROL_REFUSED)} == {reason}


async def test_a_switch_that_stops_most_tools_takes_two() -> None:
    tools = {"allowed_tools": ["jira.search", "jira.read", "jira.list"], "write_tools": ["mail.send"]}
    operators = Operators(acme=tools, globex={"allowed_tools": ["jira.search", "mail.read", "mail.list"]})
    everywhere, _ = await operators.kills.set(switch(KillScope.TOOL, "jira.*", tenant=""))
    assert (await operators.kills.clear(everywhere.switch_id, "", "ann", "mended")).waiting is not None
    few, _ = await operators.kills.set(switch(KillScope.TOOL, "jira.*", tenant="globex"))
    assert (await operators.kills.clear(few.switch_id, "globex", "ann", "mended")).waiting is None
    one, _ = await operators.kills.set(switch(KillScope.TOOL, "mail.send", tenant=""))
    assert (await operators.kills.clear(one.switch_id, "", "ann", "mended")).waiting is None


async def test_an_agent_is_one_however_long_ago_it_was_decided_for() -> None:
    operators = Operators(acme={})
    await operators.ledger.commit([commitment(1, decided_at_us=NOW_US - 1_000_000)])
    others = [commitment(number, decided_at_us=NOW_US - 300 + number) for number in range(2, 252)]
    await operators.ledger.commit([replace(each, index=replace(each.index, agent="other")) for each in others])
    was, _ = await operators.kills.set(switch(KillScope.TOOL, "jira.*"))
    for actor in ("support-agent", "SUPPORT-AGENT"):
        with pytest.raises(PermissionDeniedError) as refused:
            await operators.kills.clear(was.switch_id, "acme", actor, "let me")
        assert refused.value.reason == "AGENT_MAY_NOT_CHANGE"


async def test_an_agent_is_no_second_person() -> None:
    operators = Operators(acme={})
    await operators.ledger.commit([commitment(1, decided_at_us=NOW_US - 1)])
    was, _ = await operators.kills.set(switch(KillScope.GLOBAL, tenant=""))
    await operators.kills.clear(was.switch_id, "", "ann", "mended")
    with pytest.raises(PermissionDeniedError) as refused:
        await operators.kills.clear(was.switch_id, "", "support-agent", "mended")
    assert refused.value.reason == "AGENT_MAY_NOT_CHANGE"
    assert await stopped(operators)


async def test_a_wish_to_clear_is_forgotten_after_an_hour() -> None:
    operators = Operators(acme={})
    was, _ = await operators.kills.set(switch(KillScope.GLOBAL, tenant=""))
    await operators.kills.clear(was.switch_id, "", "ann", "mended")
    operators.clock.wall += CONTROL_REQUEST_TTL_SECONDS * 1_000_000
    again = await operators.kills.clear(was.switch_id, "", "bob", "mended")
    assert again.waiting is not None
    assert again.waiting.requested_by == "bob"
    assert await stopped(operators)


async def test_setting_a_global_switch_again_voids_the_wish_to_clear_it() -> None:
    operators = Operators(acme={})
    was, _ = await operators.kills.set(switch(KillScope.GLOBAL, tenant=""))
    await operators.kills.clear(was.switch_id, "", "ann", "mended")
    await operators.kills.set(switch(KillScope.GLOBAL, tenant="", actor="eve", reason="it is not"))
    (listed,) = await operators.kills.list("")
    assert listed.clearing is None
    assert (await operators.kills.clear(was.switch_id, "", "bob", "mended")).waiting is not None
    assert await stopped(operators)


async def test_a_tenant_neither_sees_nor_clears_the_switches_of_another() -> None:
    operators = Operators(acme={}, globex={})
    was, _ = await operators.kills.set(switch(KillScope.TENANT))
    everywhere, _ = await operators.kills.set(switch(KillScope.TOOL, "x", tenant=""))
    assert [each.switch for each in await operators.kills.list("globex")] == [everywhere]
    for tenant in ("globex", ""):
        with pytest.raises(NotFoundError):
            await operators.kills.clear(was.switch_id, tenant, "eve", "guessed")
    assert await stopped(operators)


async def test_many_set_switches_at_once_on_two_replicas() -> None:
    one = Operators(acme={})
    two = Operators(one.ledger, acme={})
    wanted = [switch(KillScope.TOOL, f"tool.{number}") for number in range(30)]
    await asyncio.gather(*((one, two)[number % 2].kills.set(each) for number, each in enumerate(wanted)))
    assert len(await one.kills.list("acme")) == 30
    one.state.forget({"acme"})
    expects = (await one.state.of({"acme"}))["acme"].expects
    assert RequireVersion(version_key("acme"), 30) in expects


async def test_there_are_so_many_narrow_switches_and_always_room_for_a_wide_one() -> None:
    operators = Operators(acme={})
    for number in range(KILL_SWITCHES_MAX):
        await operators.kills.set(switch(KillScope.RUN, f"run_{number}"))
    with pytest.raises(FailedPreconditionError) as full:
        await operators.kills.set(switch(KillScope.RUN, "one_more"))
    assert full.value.reason == "KILL_SWITCHES_FULL"
    await operators.kills.set(switch(KillScope.TENANT))
    await operators.kills.set(switch(KillScope.RUN, "run_1", expires_after_seconds=5))
    assert len((await Operators(operators.ledger).state.of({"acme"}))["acme"].switches) == KILL_SWITCHES_MAX + 1


async def test_what_looks_like_an_address_is_taken_out_of_a_reason() -> None:
    operators = Operators(acme={})
    set_now, _ = await operators.kills.set(switch(KillScope.TENANT, reason="ask jo@example.com"))
    assert "example.com" not in set_now.reason
