from __future__ import annotations

from placet.transport.grpc.services.watch import CACHED_MAX, ApprovalMessages
from tests.support.approval_env import ApprovalEnv
from tests.support.replacing import replace


async def test_the_message_of_an_approval_is_built_once() -> None:
    approval = await ApprovalEnv().pending_approval()
    listed = ApprovalMessages()
    message = listed.of(approval)
    assert message.id == approval.approval_id
    assert listed.of(approval) is message


async def test_a_changed_approval_gets_a_new_message() -> None:
    approval = await ApprovalEnv().pending_approval()
    listed = ApprovalMessages()
    messages = [listed.of(replace(approval, reason=f"reason {number}")) for number in range(3 * CACHED_MAX)]
    assert [message.reason for message in messages] == [f"reason {number}" for number in range(3 * CACHED_MAX)]
