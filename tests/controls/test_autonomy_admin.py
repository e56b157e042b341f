"""Autonomy over a ledger: lowered by one, raised by two, and no way round that."""

from __future__ import annotations

from typing import Any

import pytest

from placet.audit.records import RecordKind
from placet.controls.autonomy.model import AutonomyLevel, resolve
from placet.controls.autonomy.service import NewLevel
from placet.controls.versions import version_key
from placet.kernel.errors import FailedPreconditionError, NotFoundError, PermissionDeniedError
from placet.kernel.limits import AUTONOMY_RULES_MAX
from placet.kernel.state import RequireVersion
from tests.storage.making import commitment, proposal
from tests.support.fakes import NOW_US
from tests.support.operators import HOUR_US, Operators

OBSERVE, DRAFT, ASK, EXECUTE = AutonomyLevel
TOOLS = {"allowed_tools": ["jira.search"], "write_tools": ["jira.create"]}


def level(wanted: AutonomyLevel | None, actor: str = "ann", tenant: str = "acme", **named: str) -> NewLevel:
    said = {"workflow": "", "tool": "", "agent": "", **named}
    return NewLevel(tenant, said["workflow"], said["tool"], said["agent"], wanted, actor, "to be careful")


def operators(default: AutonomyLevel = ASK, *rules: dict[str, Any]) -> Operators:
    return Operators(acme={**TOOLS, "autonomy": {"default": default.value, "rules": list(rules)}}, globex=TOOLS)


async def applies(some: Operators) -> AutonomyLevel:
    policy = some.source.policy
    assert policy is not None
    overrides = (await some.state.of({"acme"}))["acme"].overrides
    return resolve(policy.agent_policies["acme"].autonomy_levels, overrides, proposal(1)).level


async def test_one_person_lowers() -> None:
    some = operators(EXECUTE)
    for lower in (ASK, DRAFT, OBSERVE):
        assert (await some.autonomy.set(level(lower))).waiting is None
        assert await applies(some) is lower
    assert (await some.autonomy.list("acme"))[0].rule.level is OBSERVE
    assert await some.autonomy.list("globex") == []
    assert [each["level"] for each in some.records(RecordKind.AUTONOMY_SET)] == [ASK, DRAFT, OBSERVE]


async def test_two_persons_raise() -> None:
    some = operators(DRAFT)
    first = await some.autonomy.set(level(EXECUTE))
    assert first.waiting is not None
    assert first.override is None
    assert await applies(some) is DRAFT
    with pytest.raises(PermissionDeniedError):
        await some.autonomy.set(level(EXECUTE, "ANN"))
    other = await some.autonomy.set(level(ASK, "bob"))
    assert other.waiting is not None, "another level is another wish"
    assert (await some.autonomy.set(level(EXECUTE, "bob"))).waiting is None
    assert await applies(some) is EXECUTE
    (told,) = some.records(RecordKind.AUTONOMY_SET)
    assert (told["requested_by"], told["actor"], told["reason"]) == ("ann", "bob", "to be careful")


async def test_a_wish_to_raise_is_forgotten_after_an_hour() -> None:
    some = operators(DRAFT)
    await some.autonomy.set(level(EXECUTE))
    some.clock.wall += HOUR_US
    assert (await some.autonomy.set(level(EXECUTE, "bob"))).waiting is not None
    assert await applies(some) is DRAFT


async def test_taking_away_what_lowered_is_a_raise() -> None:
    some = operators(EXECUTE)
    await some.autonomy.set(level(DRAFT))
    assert (await some.autonomy.set(level(None))).waiting is not None
    assert await applies(some) is DRAFT
    assert (await some.autonomy.set(level(None, "bob"))).waiting is None
    assert await applies(some) is EXECUTE
    assert await some.autonomy.list("acme") == []
    with pytest.raises(NotFoundError):
        await some.autonomy.set(level(None))


async def test_taking_away_what_raised_is_not() -> None:
    some = operators(DRAFT)
    await some.autonomy.set(level(EXECUTE))
    await some.autonomy.set(level(EXECUTE, "bob"))
    assert (await some.autonomy.set(level(None))).waiting is None
    assert await applies(some) is DRAFT


RAISING = [
    ([{"workflow": "triage", "level": "observe_only"}], {"tool": "jira.search", "agent": "support-agent"}, DRAFT),
    ([{"tool": "jira.*", "level": "observe_only"}], {"tool": "jira.search"}, DRAFT),
    ([{"tool": "jira.*", "level": "observe_only"}], {"tool": "*.search"}, DRAFT),
    ([{"tool": "*.search", "level": "observe_only"}], {"tool": "jira.sea*"}, DRAFT),
    ([{"agent": "support-agent", "level": "draft_only"}], {"agent": "support-agent", "workflow": "x"}, ASK),
    ([], {"agent": "support-agent"}, EXECUTE),
]
LOWERING = [
    ([{"tool": "jira.search", "level": "observe_only"}], {}, DRAFT),
    ([{"workflow": "triage", "level": "observe_only"}], {"tool": "jira.search"}, DRAFT),
    ([{"workflow": "triage", "tool": "jira.*", "level": "observe_only"}], {"agent": "support-agent"}, ASK),
    ([{"tool": "jira.search", "level": "observe_only"}], {"tool": "jira.*"}, DRAFT),
    ([{"tool": "jira.search", "level": "execute"}], {"tool": "jira.search", "agent": "support-agent"}, DRAFT),
    ([], {"tool": "unheard.of"}, ASK),
]


@pytest.mark.parametrize(("rules", "named", "wanted"), RAISING)
async def test_what_names_more_cannot_lift_a_lower_level_alone(
    rules: list[dict[str, Any]], named: dict[str, str], wanted: AutonomyLevel
) -> None:
    some = operators(ASK, *rules)
    assert (await some.autonomy.set(level(wanted, **named))).waiting is not None


@pytest.mark.parametrize(("rules", "named", "wanted"), LOWERING)
async def test_what_lifts_nothing_needs_one_person(
    rules: list[dict[str, Any]], named: dict[str, str], wanted: AutonomyLevel
) -> None:
    some = operators(ASK, *rules)
    before = await applies(some)
    assert (await some.autonomy.set(level(wanted, **named))).waiting is None
    assert (await applies(some)).rank <= before.rank


async def test_a_tenant_without_a_file_is_only_lowered() -> None:
    some = operators()
    assert (await some.autonomy.set(level(OBSERVE, tenant="initech"))).waiting is None
    assert (await some.autonomy.set(level(DRAFT, tenant="initech"))).waiting is not None
    some.source.policy = None
    assert (await some.autonomy.set(level(OBSERVE, tool="jira.*"))).waiting is None


async def test_every_change_moves_what_decisions_rest_on_and_a_wish_does_not() -> None:
    some = operators(DRAFT)
    key = version_key("acme")
    await some.autonomy.set(level(EXECUTE))
    assert RequireVersion(key, 0) in (await some.state.of({"acme"}))["acme"].expects
    await some.autonomy.set(level(EXECUTE, "bob"))
    assert RequireVersion(key, 1) in (await some.state.of({"acme"}))["acme"].expects


async def test_there_are_so_many_rules() -> None:
    some = operators(EXECUTE)
    for number in range(AUTONOMY_RULES_MAX):
        await some.autonomy.set(level(OBSERVE, agent=f"agent-{number}"))
    with pytest.raises(FailedPreconditionError) as full:
        await some.autonomy.set(level(OBSERVE, agent="one-more"))
    assert full.value.reason == "AUTONOMY_RULES_FULL"
    assert (await some.autonomy.set(level(OBSERVE, agent="agent-1"))).waiting is None


@pytest.mark.parametrize(
    ("named", "actor", "reason"),
    [
        ({"agent": "bot"}, "BOT", "CONCERNED_MAY_NOT_CHANGE"),
        ({}, "support-agent", "AGENT_MAY_NOT_CHANGE"),
        ({"tool": "jira.*"}, "Support-Agent", "AGENT_MAY_NOT_CHANGE"),
    ],
)
async def test_no_agent_raises_what_agents_may_do(named: dict[str, str], actor: str, reason: str) -> None:
    some = operators(DRAFT)
    await some.ledger.commit([commitment(1, decided_at_us=NOW_US - 1)])
    for first in (actor, "ann", actor):  # neither as the first nor as the second person
        if first == "ann":
            assert (await some.autonomy.set(level(EXECUTE, **named))).waiting is not None
            continue
        with pytest.raises(PermissionDeniedError) as refused:
            await some.autonomy.set(level(EXECUTE, first, **named))
        assert refused.value.reason == reason
    assert await applies(some) is DRAFT
    assert (await some.autonomy.set(level(OBSERVE, actor, **named))).waiting is None, "an agent may lower itself"
