from __future__ import annotations

import orjson
import pytest

from placet.controls.kill_switches.model import KillScope, KillSwitch, covering, covers, expired, kill_finding
from placet.kernel.model import Effect, Proposal
from tests.support.builders import proposal

NOW = 1_000


def switch(
    scope: KillScope,
    value: str = "",
    *,
    tenant: str = "acme",
    switch_id: str = "ks_1",
    set_at_us: int = 0,
    expires_at_us: int = 0,
) -> KillSwitch:
    tenant = "" if scope is KillScope.GLOBAL else tenant
    return KillSwitch(switch_id, scope, tenant, value, "it ran wild", "ann", set_at_us, expires_at_us)


@pytest.mark.parametrize(
    ("scope", "value", "asked", "stopped"),
    [
        (KillScope.GLOBAL, "", proposal(), True),
        (KillScope.GLOBAL, "", proposal(tenant="globex"), True),
        (KillScope.TENANT, "", proposal(), True),
        (KillScope.TENANT, "", proposal(tenant="globex"), False),
        (KillScope.TOOL, "stripe.refund", proposal("stripe.refund"), True),
        (KillScope.TOOL, "stripe.refund", proposal("stripe.refunds"), False),
        (KillScope.TOOL, "stripe.refund", proposal("stripe.refund", tenant="globex"), False),
        (KillScope.TOOL, "stripe.*", proposal("stripe.refund"), True),
        (KillScope.TOOL, "stripe.*", proposal("stripe.refund.create"), True),
        (KillScope.TOOL, "stripe.*", proposal("stripe"), False),
        (KillScope.TOOL, "stripe.*", proposal("stripeXrefund"), False),
        (KillScope.TOOL, "s?ripe.refund", proposal("stripe.refund"), True),
        (KillScope.TOOL, "*", proposal("a:b/c"), True),
        (KillScope.TOOL, "", proposal(), False),
        (KillScope.AGENT, "bot", proposal(), True),
        (KillScope.AGENT, "bot", proposal(agent="bot2"), False),
        (KillScope.AGENT, "bot", proposal(agent="other", delegation=("bot",)), True),
        (KillScope.AGENT, "b*", proposal(), False),
        (KillScope.WORKFLOW, "refunds", proposal(), True),
        (KillScope.WORKFLOW, "refunds", proposal(workflow=""), False),
        (KillScope.RUN, "r_1", proposal(), True),
        (KillScope.RUN, "r_1", proposal(run_id="r_2"), False),
        (KillScope.RUN, "r_1", proposal(tenant="globex"), False),
    ],
)
def test_what_a_switch_stops(scope: KillScope, value: str, asked: Proposal, stopped: bool) -> None:  # noqa: FBT001
    assert covers(switch(scope, value), asked, NOW) is stopped


def test_one_without_a_tenant_is_for_every_tenant() -> None:
    everywhere = switch(KillScope.TOOL, "stripe.*", tenant="")
    assert covers(everywhere, proposal("stripe.refund", tenant="globex"), NOW)


def test_a_tenants_switch_without_its_tenant_stops_nobody() -> None:
    assert not covers(switch(KillScope.TENANT, tenant=""), proposal(), NOW)


def test_it_ends_when_its_time_is_over() -> None:
    timed = switch(KillScope.GLOBAL, expires_at_us=NOW)
    assert covers(timed, proposal(), NOW - 1)
    assert not covers(timed, proposal(), NOW)
    assert expired(timed, NOW)
    assert not expired(switch(KillScope.GLOBAL), NOW)


def test_the_widest_is_told_and_of_those_the_oldest() -> None:
    run = switch(KillScope.RUN, "r_1", switch_id="ks_1", set_at_us=1)
    young = switch(KillScope.TOOL, "pay", switch_id="ks_2", set_at_us=9)
    old = switch(KillScope.TOOL, "p*", switch_id="ks_3", set_at_us=5)
    elsewhere = switch(KillScope.TENANT, tenant="globex", switch_id="ks_4")
    assert covering([run, young, old, elsewhere], proposal(), NOW) == old
    assert covering([elsewhere], proposal(), NOW) is None


@pytest.mark.parametrize("scope", KillScope)
def test_each_scope_has_its_rule_id(scope: KillScope) -> None:
    said = kill_finding(switch(scope, "v"))
    assert (said.effect, said.rule_id) == (Effect.DENY, f"kill_switch.{scope}")
    assert said.reason.startswith("A kill switch stops ")
    assert said.details == {"switch_id": "ks_1", "value": "v", "reason": "it ran wild", "actor": "ann"}


@pytest.mark.parametrize("scope", KillScope)
def test_what_is_written_is_what_is_read(scope: KillScope) -> None:
    written = switch(scope, "v", set_at_us=5, expires_at_us=9)
    assert KillSwitch.from_json(orjson.loads(orjson.dumps(written.to_json()))) == written
