"""Scripts as people write them: what is wrong is named with its place, and what is right becomes requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from placet import sdk
from placet.cli.scenarios.script import Script, load_script
from placet.cli.scenarios.steps import Call, Verify
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

ASK = "{id: ask, name: n, tool: stripe.refund, expect: deny x}"
STOP = "{id: stop, name: n, kill: {tool: t}, expect: set}"
HEAD = "description: d\nidentity: {tenant: acme, user: u_1}\nsteps:\n"


def script(*steps: str, head: str = HEAD) -> str:
    return head + "".join(f"  - {step}\n" for step in steps)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (["{name: n, again: ask, expect: deny x}"], "steps.0.again: no step before it has the id 'ask'"),
        (["{id: ask, name: n, again: ask, expect: deny x}"], "steps.0.again: no step before it has the id 'ask'"),
        (
            [ASK, "{name: n, approval_of: asked, expect: deny x}"],
            "steps.1.approval_of: no step before it has the id 'asked'",
        ),
        (
            [ASK, "{name: n, again: ask, approval_of: ask, approval_id: apr_1, expect: deny x}"],
            "steps.1: has approval_id and approval_of",
        ),
        (["{name: n, approve: ask, by: [{id: u}], expect: approved}"], "steps.0.approve: no step before"),
        ([ASK, "{name: n, approve: ask, by: [], expect: approved}"], "steps.1.by"),
        ([ASK, "{name: n, approve: ask, by: u_1, expect: approved}"], "steps.1.by"),
        ([ASK, "{name: n, approve: ask, by: [{role: lead}], expect: approved}"], "steps.1.by.0.id"),
        ([ASK, "{name: n, approve: ask, by: [{id: u}], expect: allow x}"], "steps.1.expect: 'allow' is not what"),
        ([ASK, "{name: n, reject: ask, by: [{id: u}], expect: rejected}"], "steps.1.reason: Field required"),
        ([ASK, "{name: n, outcome: ask, status: done, expect: reported}"], "steps.1.status"),
        (
            [STOP, "{name: n, outcome: stop, status: failed, expect: reported}"],
            "steps.1.outcome: step 'stop' is no call",
        ),
        ([STOP, "{name: n, verify: stop, expect: verified}"], "steps.1.verify: step 'stop' is no call"),
        ([ASK, "{name: n, verify: ask, budget: 1, expect: verified}"], "steps.1.budget: Extra inputs"),
        (["{name: n, kill: {tool: t, run: r}, expect: set}"], "steps.0.kill: name one of tool, agent, workflow, run"),
        (["{name: n, kill: {}, expect: set}"], "steps.0.kill: name one of"),
        (["{name: n, kill: {tenant: acme}, expect: set}"], "steps.0.kill.tenant: Extra inputs"),
        ([ASK, "{name: n, clear: ask, expect: cleared}"], "steps.1.clear: step 'ask' is no kill"),
        ([ASK, ASK], "steps.1.id: another step has the id 'ask'"),
        (["{name: n, kill: {tool: t}, clear: x, expect: set}"], "steps.0.clear: Extra inputs"),
        (["{name: n, aprove: ask, expect: deny x}"], "steps.0.aprove: Extra inputs"),
        (["{name: n, tool: t, expect: approved}"], "write one of allow, deny, refused, require_approval"),
        (["kill"], "steps.0"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, steps: list[str], said: str) -> None:
    file = tmp_path / "script.yaml"
    file.write_text(script(*steps))
    with pytest.raises(ConfigurationError) as told:
        load_script(file)
    assert str(told.value).startswith(f"{file}: ")
    assert said in str(told.value)


def test_a_kill_switch_never_reaches_into_every_tenant(tmp_path: Path) -> None:
    file = tmp_path / "script.yaml"
    file.write_text(script(STOP, head="description: d\nsteps:\n"))
    with pytest.raises(ConfigurationError, match=r"steps\.0\.kill: the script's identity has no tenant"):
        load_script(file)


def made(*steps: str) -> list[sdk.Request]:
    """The requests of the steps that have one, with ``<new>`` as ``7``."""
    read = Script.model_validate(yaml.safe_load(script(*steps)))
    return [read.request(step, index, "7") for index, step in enumerate(read.steps) if isinstance(step, Call | Verify)]


def test_again_is_the_same_action_but_for_what_it_says() -> None:
    first, same, more, other = made(
        "{id: a, name: n, tool: t, scope: s, params: {k: 1}, amount: 1.00 USD, identity: {user: u_2}, expect: deny x}",
        "{id: b, name: n, again: a, expect: deny x}",
        "{id: c, name: n, again: b, amount: 2.00 USD, run: {run_id: r}, approval_id: apr_1, expect: deny x}",
        "{name: n, verify: c, params: {k: 2}, expect: refused wrong_digest}",
    )
    assert (same.action, same.identity) == (first.action, first.identity)
    assert first.identity == sdk.Identity(agent="", tenant="acme", user="u_2", roles=())
    assert (more.action.tool, more.action.params, more.action.scope) == ("t", '{"k": 1}', "s")
    assert more.action.amount == sdk.Amount("USD", 200)
    assert more.approval_id == "apr_1"
    assert (other.action.params, other.action.amount, other.approval_id) == ('{"k": 2}', more.action.amount, "")
    assert other.run is not None
    assert other.run.run_id == "r"


def test_params_take_the_place_of_a_text_that_is_repeated() -> None:
    _, other = made(
        '{id: a, name: n, tool: t, params_text: \'{"k": 1, "k": 2}\', expect: refused action.params_json}',
        "{name: n, again: a, params: {k: 3}, expect: deny x}",
    )
    assert json.loads(str(other.action.params)) == {"k": 3}


def test_new_stands_for_a_text_of_the_replay() -> None:
    [asked] = made(
        "{name: n, tool: t, params: {c: cus_<new>}, identity: {user: u_<new>}, run: {run_id: r_<new>}, "
        "idempotency_key: k_<new>, expect: deny x}"
    )
    assert asked.run is not None
    told = (asked.action.params, asked.identity.user, asked.run.run_id, asked.idempotency_key)
    assert told == ('{"c": "cus_7"}', "u_7", "r_7", "k_7")
