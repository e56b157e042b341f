"""Enums of the wire and of Placet have the same members, or the server does not start."""

from __future__ import annotations

from enum import StrEnum

import pytest

from placet.budgets.model import OnExceed
from placet.kernel.model import Effect
from placet.transport.grpc.messages.enums import enum_codec
from placet.v1 import control_pb2, decision_pb2


def test_members_are_matched_by_name() -> None:
    effects = enum_codec(Effect, decision_pb2.Effect)
    assert effects.to_wire == {
        Effect.ALLOW: decision_pb2.EFFECT_ALLOW,
        Effect.DENY: decision_pb2.EFFECT_DENY,
        Effect.REQUIRE_APPROVAL: decision_pb2.EFFECT_REQUIRE_APPROVAL,
    }
    assert {number: effects.to_wire[effect] for number, effect in effects.from_wire.items()} == {1: 1, 2: 2, 3: 3}


def test_the_name_of_the_proto_enum_may_have_several_words() -> None:
    actions = enum_codec(OnExceed, control_pb2.BudgetExceedAction)
    assert actions.to_wire[OnExceed.DRAFT_ONLY] == control_pb2.BUDGET_EXCEED_ACTION_DRAFT_ONLY


class Fewer(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Others(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    LOG = "log"


@pytest.mark.parametrize(("values", "missing"), [(Fewer, "REQUIRE_APPROVAL"), (Others, "LOG")])
def test_a_member_without_a_counterpart_is_an_error(values: type[StrEnum], missing: str) -> None:
    with pytest.raises(TypeError, match=f"placet.v1.Effect differ in {missing}$"):
        enum_codec(values, decision_pb2.Effect)
