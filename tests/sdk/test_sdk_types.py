"""A value of the wrong type raises TypeError in the constructor, which names the field. A bool is not an int."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from placet.sdk import Action, Amount, Decision, Effect, Evidence, Identity, Model, Request, Run

ACTION = Action("t")
IDENTITY = Identity("a", "t")
WRONG: list[tuple[type, dict[str, Any], str]] = [
    (Amount, {"currency_code": "EUR", "minor_units": 12.5}, r"Amount\.minor_units must be an int, not float: .*4500"),
    (Amount, {"currency_code": "EUR", "minor_units": "1250"}, r"Amount\.minor_units must be an int, not str"),
    (Amount, {"currency_code": "EUR", "minor_units": True}, r"Amount\.minor_units must be an int, not bool"),
    (Amount, {"currency_code": 978, "minor_units": 1}, r"Amount\.currency_code must be text, not int"),
    (Amount, {"currency_code": "EUR", "minor_units": 1, "exponent": 2.0}, "must be an int or None, not float"),
    (Action, {"tool": 5}, r"Action\.tool must be text, not int"),
    (Action, {"tool": b"t"}, r"Action\.tool must be text, not bytes"),
    (Action, {"tool": "t", "params": [1]}, r"Action\.params must be Mapping or text, not list"),
    (Action, {"tool": "t", "params": None}, r"Action\.params must be Mapping or text, not NoneType"),
    (Action, {"tool": "t", "amount": 45}, r"Action\.amount must be Amount or None, not int"),
    (Action, {"tool": "t", "dry_run": "yes"}, r"Action\.dry_run must be True or False, not str"),
    (Action, {"tool": "t", "dry_run": 1}, r"Action\.dry_run must be True or False, not int"),
    (Action, {"tool": "t", "environment": None}, r"Action\.environment must be text, not NoneType"),
    (Identity, {"agent": None, "tenant": "t"}, r"Identity\.agent must be text, not NoneType"),
    (Identity, {"agent": "a", "tenant": 7}, r"Identity\.tenant must be text, not int"),
    (Identity, {"agent": "a", "tenant": "t", "roles": "support"}, r"Identity\.roles must be a list of text, not str"),
    (Identity, {"agent": "a", "tenant": "t", "roles": None}, r"Identity\.roles must be a list of text, not NoneType"),
    (Identity, {"agent": "a", "tenant": "t", "roles": ["x", 7]}, r"Identity\.roles\[1\] must be text, not int"),
    (Identity, {"agent": "a", "tenant": "t", "delegation": [IDENTITY]}, r"delegation\[0\] must be text, not Identity"),
    (Run, {"step": True}, r"Run\.step must be an int, not bool"),
    (Run, {"run_id": 5}, r"Run\.run_id must be text, not int"),
    (Model, {"input_tokens": "12"}, r"Model\.input_tokens must be an int, not str"),
    (Model, {"estimated_cost_micros": 0.5}, r"Model\.estimated_cost_micros must be an int, not float"),
    (Evidence, {"uri": 2}, r"Evidence\.uri must be text, not int"),
    (Request, {"action": ACTION, "identity": "a"}, r"Request\.identity must be Identity, not str"),
    (Request, {"action": ACTION, "identity": IDENTITY, "model": "gpt"}, "must be Model or None, not str"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arguments", "message"), WRONG)
def test_a_wrong_type_raises(kind: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        kind(**arguments)


def test_an_iterator_becomes_a_tuple() -> None:
    identity = Identity("a", "t", roles=(f"role{number}" for number in range(2)), delegation={"b": 1})  # type: ignore[arg-type] # a generator, a dict
    assert identity.roles == ("role0", "role1")
    assert identity.delegation == ("b",)


def test_valid_values_are_not_changed() -> None:
    roles = ["x"]
    assert Identity("a", "t", roles=roles).roles is roles
    assert Action("t", MappingProxyType({"a": 1})).params == {"a": 1}
    assert Amount("EUR", 1250, exponent=None).minor_units == 1250


def test_a_permit_is_not_in_the_repr_of_a_decision() -> None:
    decision = Decision(Effect.ALLOW, "a.b", "r", permit="token")
    assert "token" not in repr(decision)
