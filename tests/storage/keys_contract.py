"""What every ledger must do with idempotency keys that are replaced and swept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.records import Committed, Idempotency, IdempotencyMismatch, IdempotentReplay
from placet.audit.verification.problems import ProblemKind
from tests.storage.making import START_US, commitment, commitments
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from tests.storage.ledger_contract import CheckpointingLedger

COMMITTED = Committed()
STEP_US = 10
"""Between the decisions of `commitments`."""


def replacing(number: int, replaces: int, digest: str = "") -> Commitment:
    """A decision that the key of decision 1 stands for from now on."""
    first = commitment(1).idempotency
    assert first is not None
    given = Idempotency(first.caller, first.key, digest or first.request_digest, f"dec_{replaces:032x}")
    made = commitment(number)
    return replace(made, idempotency=given, fields={**made.fields, **key_fields(given)})


def key_fields(given: Idempotency) -> dict[str, str]:
    said = {"caller": given.caller, "idempotency_key": given.key, "request_digest": given.request_digest}
    return said | ({"replaces": given.replaces} if given.replaces else {})


def made_before(number: int) -> int:
    """When the decision of that number is not yet made."""
    return START_US + number * STEP_US


class ReplacedKeysContract:
    async def test_a_key_stands_for_the_decision_that_replaced_the_first(self, ledger: CheckpointingLedger) -> None:
        later = replacing(2, 1)
        assert list(await ledger.commit([commitment(1)])) == [COMMITTED]
        assert list(await ledger.commit([later])) == [COMMITTED]
        assert later.decision is not None
        assert list(await ledger.commit([commitment(1)])) == [IdempotentReplay(later.decision)]
        assert list(await ledger.commit([replacing(3, 1)])) == [IdempotentReplay(later.decision)]
        report = await ledger.verify()
        assert (report.records, report.problems) == (2, ())

    async def test_one_of_a_batch_takes_its_place(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([commitment(1)])
        batch = [replacing(number, 1) for number in (2, 3, 4)]
        first = batch[0].decision
        assert first is not None
        assert list(await ledger.commit(batch)) == [COMMITTED, IdempotentReplay(first), IdempotentReplay(first)]
        assert (await ledger.verify()).ok

    async def test_a_key_can_be_taken_over_again(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([commitment(1)])
        for number in (2, 3, 4):
            assert list(await ledger.commit([replacing(number, number - 1)])) == [COMMITTED]
        report = await ledger.verify()
        assert (report.records, report.problems) == (4, ())

    async def test_another_request_cannot_take_a_key_over(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([commitment(1)])
        assert list(await ledger.commit([replacing(2, 1, digest="f" * 64)])) == [IdempotencyMismatch()]
        assert (await ledger.verify()).ok

    async def test_a_key_that_is_gone_can_be_taken_over(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([commitment(1)])
        assert await ledger.purge_idempotency_keys(made_before(2), 9) == 1
        assert list(await ledger.commit([replacing(5, 1)])) == [COMMITTED]
        assert (await ledger.verify()).problems == ()


class SweptKeysContract:
    async def test_keys_are_swept_by_portions_the_oldest_first(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(commitments(3, 4))
        await ledger.commit(commitments(3, 1))
        assert [await ledger.purge_idempotency_keys(made_before(6), 2) for _ in range(4)] == [2, 2, 1, 0]
        report = await ledger.verify()
        assert (report.records, report.problems) == (9, ())

    async def test_a_portion_forgets_no_more_than_it_says(self, ledger: CheckpointingLedger) -> None:
        made = commitments(5)
        await ledger.commit(made)
        assert await ledger.purge_idempotency_keys(made_before(6), 3) == 3
        results = await ledger.commit([replace(each, decision=None) for each in made[3:]])
        assert [type(result) for result in results] == [IdempotentReplay, IdempotentReplay]

    async def test_a_swept_key_is_decided_anew(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(commitments(3))
        await ledger.purge_idempotency_keys(made_before(3), 9)
        same = commitment(1).idempotency
        assert same is not None
        again = commitment(7)
        again = replace(again, idempotency=same, fields={**again.fields, **key_fields(same)})
        other = commitment(8, key="key-2")
        assert list(await ledger.commit([again, other])) == [COMMITTED, COMMITTED]
        assert again.decision is not None
        assert list(await ledger.commit([commitment(1)])) == [IdempotentReplay(again.decision)]
        report = await ledger.verify()
        assert (report.records, report.problems) == (6, ())

    async def test_replaced_keys_are_swept_too(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([commitment(1)])
        await ledger.commit([replacing(2, 1)])
        assert await ledger.purge_idempotency_keys(made_before(2), 9) == 0
        assert await ledger.purge_idempotency_keys(made_before(3), 9) == 1
        assert (await ledger.verify()).problems == ()

    async def test_nothing_to_sweep_is_not_recorded(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(commitments(1))
        assert await ledger.purge_idempotency_keys(made_before(1), 9) == 0
        assert (await ledger.verify()).records == 1

    async def test_a_sweep_of_the_future_is_recorded_up_to_the_last_key(self, ledger: CheckpointingLedger) -> None:
        """So that keys of decisions that are made later are missed when they are gone."""
        await ledger.commit(commitments(2))
        await ledger.purge_idempotency_keys(made_before(10**9), 9)
        unrecorded = commitment(3)
        await ledger.commit([replace(unrecorded, idempotency=None)])
        report = await ledger.verify()
        assert [(found.kind, found.sequence) for found in report.problems] == [(ProblemKind.KEY_MISSING, 4)]


class KeysContract(ReplacedKeysContract, SweptKeysContract):
    """All of it."""
