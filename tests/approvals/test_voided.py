"""The result of voiding a person's votes: all are counted, and a bounded number is listed."""

from __future__ import annotations

from placet.approvals.model import ApprovalState
from placet.approvals.service import ApprovalView
from placet.approvals.vote_voiding import Voided
from placet.kernel.limits import VOIDED_LISTED_MAX
from tests.approvals.test_voting import opened


def view() -> ApprovalView:
    return ApprovalView(opened(1, ()), ApprovalState.USED)


def test_the_lists_are_bounded_and_the_counts_are_not() -> None:
    voided = Voided()
    for number in range(VOIDED_LISTED_MAX + 2):
        voided.add_open(view())
        voided.add_used(view(), voided=number % 2 == 0, revoked=True)
    assert (len(voided.open), len(voided.used), len(voided.revoked)) == (VOIDED_LISTED_MAX,) * 3
    assert (voided.open_count, voided.used_count, voided.revoked_count) == (VOIDED_LISTED_MAX + 2,) * 3
    assert voided.used_voided_count == VOIDED_LISTED_MAX // 2 + 1


def test_only_a_revoked_permit_is_listed_as_revoked() -> None:
    voided = Voided()
    voided.add_used(view(), voided=True, revoked=False)
    assert (voided.revoked, voided.revoked_count, voided.used_count) == ([], 0, 1)
