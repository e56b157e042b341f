"""What records say of who called: everything where callers are authenticated, and nothing new where they are not."""

from __future__ import annotations

import orjson
import pytest

from placet.approvals.records import vote_refused_commitment
from placet.audit.access_records import caller_fields, member, user_fields
from placet.audit.decision_codec import invalid_request_commitment
from placet.commands.four_eyes import ChangeCommand, ChangeKind
from placet.commands.records import control_refused, request_fields
from placet.controls.kill_switches.model import KillScope, KillSwitch
from placet.controls.kill_switches.records import switch_set
from placet.kernel.model import ASSERTED, PROVEN, UNAUTHENTICATED, Caller, UserProof
from placet.matching.person import Person

JWT = Caller("https://id.example.com|dana", "ipv4:192.0.2.1:5", "jwt", "https://id.example.com")
EXPECTED = {
    "caller": "https://id.example.com|dana",
    "caller_method": "jwt",
    "caller_issuer": "https://id.example.com",
}


def test_an_unauthenticated_caller_has_the_field_that_it_always_had() -> None:
    assert caller_fields(UNAUTHENTICATED) == {"caller": "unauthenticated"}
    assert caller_fields(Caller("ops", method="token")) == {"caller": "ops", "caller_method": "token"}
    assert caller_fields(JWT) == EXPECTED


@pytest.mark.parametrize(
    ("proof", "fields"),
    [
        (UserProof(ASSERTED), {"user_method": "asserted"}),
        (
            UserProof(PROVEN, "https://id.example.com"),
            {"user_method": "token", "user_issuer": "https://id.example.com"},
        ),
    ],
)
def test_how_the_user_is_known(proof: UserProof, fields: dict[str, str]) -> None:
    assert user_fields(proof) == fields


def test_records_of_people_say_how_they_proved_who_they_are() -> None:
    command = ChangeCommand(ChangeKind.AUTONOMY_SET, "acme", "aut_1", "execute", "dana", "r", JWT)
    switch = KillSwitch("ks_1", KillScope.TENANT, "acme", "", "r", "dana", 1)
    refused = vote_refused_commitment("acme", "apr_1", "ApproveAction", Person("dana"), JWT, "R", "no", 1)
    records = [
        control_refused(command, "R", 1).fields,
        request_fields(command, None),
        switch_set(switch, JWT, 1, ()).fields,
        refused.fields,
        invalid_request_commitment("acme", JWT, "Authorize", [], 1).fields,
    ]
    assert all(EXPECTED.items() <= fields.items() for fields in records)


def test_a_member_is_found_only_as_a_member() -> None:
    forged = orjson.dumps({"caller": "other", "tool": '"caller":"ci"', 'x","caller":"ci': 1})
    assert member("caller", "ci") not in forged
    assert member("caller", 'say "ä"') in orjson.dumps({"a": 1, "caller": 'say "ä"', "z": 2})
