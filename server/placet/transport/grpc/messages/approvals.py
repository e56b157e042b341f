"""Builds messages of approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.approvals.model import ApprovalState
from placet.kernel.model import Effect
from placet.transport.grpc.messages.enums import enum_codec
from placet.transport.grpc.messages.to_proto import budget_fields, finding_fields, optional_timestamp, timestamp
from placet.v1 import action_pb2, approval_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.approvals.model import Vote
    from placet.approvals.service import ApprovalView

STATES: Final = enum_codec(ApprovalState, approval_pb2.ApprovalState)


def listed_approval_to_proto(view: ApprovalView) -> approval_pb2.Approval:
    """Return the message of an approval in a list: without parameters."""
    message = _approval(view)
    message.params_redacted = True
    return message


def approval_to_proto(view: ApprovalView) -> approval_pb2.Approval:
    """Return the message of an approval with its parameters, redacted unless the viewer may see them."""
    message = _approval(view)
    approval = view.approval
    exact = approval.params if view.with_params else None
    params = exact if exact is not None else orjson.dumps(approval.action["params"])
    message.action.params_json = params.decode()
    message.params_redacted = exact is None and approval.redacted
    if view.similar is not None:
        message.similar.CopyFrom(
            approval_pb2.SimilarDecisions(
                allowed=view.similar.get(Effect.ALLOW, 0),
                denied=view.similar.get(Effect.DENY, 0),
                approval_required=view.similar.get(Effect.REQUIRE_APPROVAL, 0),
            )
        )
    return message


def _approval(view: ApprovalView) -> approval_pb2.Approval:
    approval = view.approval
    return approval_pb2.Approval(
        id=approval.approval_id,
        tenant=approval.tenant,
        decision_id=approval.decision_id,
        state=STATES.to_wire[view.state],
        action=_action(approval.action),
        identity=action_pb2.Identity(**approval.identity),
        run=action_pb2.Run(**approval.run),
        model=action_pb2.Model(**approval.model),
        rule_id=approval.rule_id,
        reason=approval.reason,
        findings=[finding_fields(finding) for finding in approval.findings],
        policy_revision=approval.policy_revision,
        action_digest=approval.action_digest,
        quorum=approval.quorum,
        approver_roles=approval.approver_roles,
        distinct_roles=approval.distinct_roles,
        votes=[_vote(vote, why) for vote, why in zip(approval.votes, _void(view), strict=True)],
        created_at=timestamp(approval.created_at_us),
        expires_at=timestamp(approval.expires_at_us),
        decided_at=optional_timestamp(approval.decided_at_us),
        used_by_decision_id=approval.used_by,
        budgets=[budget_fields(state) for state in approval.budgets],
    )


def _action(content: Mapping[str, Any]) -> action_pb2.Action:
    """Return the message of the action without its parameters."""
    plain = {name: value for name, value in content.items() if name not in {"params", "amount"}}
    money = content.get("amount")
    return action_pb2.Action(**plain, amount=action_pb2.Money(**money) if money is not None else None)


def _void(view: ApprovalView) -> Sequence[str]:
    """Return for each vote why it does not count, "" if it does."""
    return view.void or [vote.void_reason for vote in view.approval.votes]


def _vote(vote: Vote, void_reason: str) -> approval_pb2.Vote:
    return approval_pb2.Vote(
        person=vote.person,
        role=vote.role,
        approve=vote.approve,
        reason=vote.reason,
        at=timestamp(vote.at_us),
        void_reason=void_reason,
    )
