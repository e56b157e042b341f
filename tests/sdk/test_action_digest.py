"""SDK and server compute the same action digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from placet.actions.document import action_binding as server_binding
from placet.kernel.errors import InvalidRequestError as ServerRefusal
from placet.kernel.limits import PARAMS_BYTES_MAX
from placet.permits.claims import jwk_set, permit_claims
from placet.sdk import Action, Amount, DelegationHop, Identity, PermitError, PermitKeySet, Request, Run, verify_permit
from placet.sdk._permits.digest import action_binding, action_digest
from placet.sdk._wire.encode import request_to_proto
from placet.signing.permit_keys import PermitKeyFolder
from placet.transport.grpc.messages.from_proto import parse_request
from tests.properties.messages import counts, json_objects, labels, names
from tests.storage.making import START_US, TickingClock, decision
from tests.support.replacing import replace

if TYPE_CHECKING:
    from pathlib import Path

    from placet.kernel.model import Proposal

odd_texts = st.sampled_from(
    [
        *('{"a":1.0}', '{"a":-0.0}', '{"a":1e21}', '{"a":5e-324}', '{"a":9007199254740993.0}', '{"a":1E400}'),
        *('{"a":-1e400}', '{"a":9007199254740991}', '{"a":9007199254740992}', '{"a":NaN}', ' {"a":01}'),
        *('{"\\u20ac":1,"\\r":2,"1":3,"\\ud83d\\ude00":4,"ö":5}', '{"a":"\\u0000\\u001f\\u007f\\u2028/"}'),
        *('{"a":"\\ud800"}', '{"\\udc00":1}', '{"a":1,"a":2}', '{ "b" : [ ] , "a" : { } }', '{"a":true,"b":null}'),
        *("[]", "null", "", "{}", "\ufeff{}", '{"a":1}x'),
    ]
)
params = json_objects | json_objects.map(lambda value: json.dumps(value, indent=1)) | odd_texts
actions = st.builds(
    Action,
    tool=st.sampled_from(["stripe.refund", "a", "mcp://x/y:z"]),
    params=params,
    amount=st.none() | st.builds(Amount, st.sampled_from(["USD", "JPY"]), counts),
    scope=labels, environment=labels, destination=labels, dry_run=st.booleans(), tool_schema_version=labels,
)  # fmt: skip
hops = st.builds(
    DelegationHop, st.sampled_from(["x", "ö", ""]), st.lists(st.sampled_from(["a.*", "b", "*"]), max_size=2)
)
identities = st.builds(
    Identity,
    agent=names, tenant=st.sampled_from(["acme", "globex"]), user=labels,
    roles=st.lists(names, max_size=4), delegation=st.lists(names, max_size=3),
    delegation_chain=st.just(()) | st.lists(hops, max_size=2),
)  # fmt: skip


def proposed(action: Action, identity: Identity, run_id: str) -> Proposal:
    return parse_request(request_to_proto(Request(action, identity, Run(run_id, step=3)), "key"))


@given(action=actions, identity=identities, run_id=labels)
@example(Action("t", '{"a":1,"a":1}'), Identity("a", "acme"), "")
@example(Action("t", {"ö": 1.5, "𐀀": 1, "\uffff": 2}), Identity("ä", "acme", roles=["b", "a", "b"]), "r")
@example(Action("t"), Identity("a", "acme", delegation_chain=[DelegationHop("b", ["t", "s", "t"])]), "r")
@settings(max_examples=300)
def test_server_and_sdk_digest_the_same_bytes_or_both_raise(action: Action, identity: Identity, run_id: str) -> None:
    try:
        proposal = proposed(action, identity, run_id)
    except ServerRefusal:
        proposal = None
    try:
        ours = action_binding(action, identity, run_id)
    except PermitError:
        assert proposal is None
        return
    if proposal is not None:  # the server has limits of its own
        assert ours == server_binding(proposal.action, proposal.identity, proposal.run)
        assert action_digest(action, identity, run_id) == proposal.action_digest


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":1}', '{"a":{"b":1,"b":1}}', '{"a":NaN}', '{"a":1e999}', '{"a":"\\ud800"}', "[]", "", '{"a":1}x'],
)
def test_both_reject_text_that_is_not_i_json(text: str) -> None:
    with pytest.raises(ServerRefusal):
        proposed(Action("t", text), Identity("a", "acme"), "")
    with pytest.raises(PermitError, match="action_invalid"):
        action_digest(Action("t", text), Identity("a", "acme"))


@given(changes=st.permutations(["x", "y", "z"]), value=json_objects)
@settings(max_examples=25)
def test_the_order_of_members_does_not_matter(changes: list[str], value: Any) -> None:
    shuffled = Action("t", dict.fromkeys(changes, value))
    assert action_digest(shuffled, Identity("a", "acme")) == action_digest(
        Action("t", {"x": value, "y": value, "z": value}), Identity("a", "acme")
    )


def test_a_permit_of_the_server_is_valid_for_the_allowed_action(tmp_path: Path) -> None:
    action = Action("stripe.refund", {"charge": "ch_1", "ratio": 0.5, "größe": "x" * (PARAMS_BYTES_MAX // 2)})
    identity = Identity("refund-agent", "acme", "u_1", ["b", "a", "b"], ["boss"])
    errors: list[BaseException] = []
    keys = PermitKeyFolder(tmp_path / "permits", TickingClock(), errors.append)
    proposal = proposed(action, identity, "run_1")
    allow = replace(decision(7), action_digest=proposal.action_digest)
    permit = keys.sign(permit_claims(allow, proposal), allow.decided_at_us)
    verified = verify_permit(
        permit, action, PermitKeySet(jwk_set(keys.known())), identity=identity, run_id="run_1", now=START_US / 1e6
    )
    assert not errors
    assert (verified.decision_id, verified.action_digest) == (f"dec_{7:032x}", proposal.action_digest)
