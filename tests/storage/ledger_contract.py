"""What every ledger must do. A store's test file only builds the fixture `ledger`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import orjson
import pytest

from placet.audit.decision_codec import invalid_request_commitment, server_started_commitment
from placet.audit.ports import Ledger
from placet.audit.records import Committed, DecisionQuery, IdempotencyMismatch, IdempotentReplay
from placet.kernel.errors import InvalidRequestError, LedgerUnavailableError
from placet.kernel.limits import CHECKPOINT_RECORDS_MAX, PAGE_SIZE_MAX
from placet.kernel.model import ASSERTED, PROVEN, Caller, Effect, UserProof
from tests.storage.making import START_US, commitment, commitments
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.records import RecordedDecision


class CheckpointingLedger(Ledger, Protocol):
    @property
    def records_since_checkpoint(self) -> int: ...

    async def checkpoint(self) -> None: ...

    async def close(self) -> None: ...


async def listed(ledger: Ledger, query: DecisionQuery) -> Sequence[RecordedDecision]:
    """All pages."""
    found: list[RecordedDecision] = []
    while True:
        page = await ledger.query_decisions(query)
        found += page.decisions
        if not page.next_page_token:
            return found
        assert len(page.decisions) == query.page_size
        query = replace(query, page_token=page.next_page_token)


class LedgerContract:
    async def test_a_decision_comes_back_as_it_was_made(self, ledger: CheckpointingLedger) -> None:
        made = [commitment(number, effect=effect) for number, effect in enumerate(Effect, 1)]
        assert list(await ledger.commit(made)) == [Committed()] * 3
        for sequence, each in enumerate(made, 1):
            assert each.decision is not None
            found = await ledger.get_decision("acme", each.decision.decision_id)
            assert found is not None
            assert found.decision == each.decision
            assert (found.tenant, found.writer, found.sequence) == ("acme", "w1", sequence)
            assert found.input_json == each.parts["input"]
            assert (found.replayable, found.not_replayable_reason) == (True, "")
            assert (found.caller, found.idempotency_key) == ("unauthenticated", f"key-{sequence}")
            assert len(bytes.fromhex(found.record_hash)) == 32

    async def test_nothing_to_commit(self, ledger: CheckpointingLedger) -> None:
        assert list(await ledger.commit([])) == []
        assert (await ledger.verify()).records == 0

    async def test_an_unknown_decision_or_another_tenants(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(commitments(1))
        assert await ledger.get_decision("acme", "dec_unknown") is None
        assert await ledger.get_decision("other", f"dec_{1:032x}") is None

    async def test_a_repeated_key_gives_the_first_decision(self, ledger: CheckpointingLedger) -> None:
        first = commitment(1)
        await ledger.commit([first])
        again = replace(commitment(2), idempotency=first.idempotency)
        assert first.decision is not None
        assert list(await ledger.commit([again])) == [IdempotentReplay(first.decision)]
        assert await ledger.get_decision("acme", f"dec_{2:032x}") is None
        assert (await ledger.verify()).records == 1

    async def test_a_key_with_another_digest_is_refused(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([commitment(1, key="k")])
        assert list(await ledger.commit([commitment(2, key="k")])) == [IdempotencyMismatch()]
        assert (await ledger.verify()).records == 1

    async def test_keys_are_looked_up_among_the_batch_itself(self, ledger: CheckpointingLedger) -> None:
        first = commitment(1, key="k")
        assert first.decision is not None
        again = replace(commitment(2), idempotency=first.idempotency)
        batch = [first, again, commitment(3, key="k"), commitment(4), again]
        same = IdempotentReplay(first.decision)
        assert list(await ledger.commit(batch)) == [Committed(), same, IdempotencyMismatch(), Committed(), same]
        report = await ledger.verify()
        assert (report.records, report.problems) == (2, ())

    async def test_a_key_belongs_to_tenant_and_caller(self, ledger: CheckpointingLedger) -> None:
        batch = [
            commitment(1, key="k"),
            commitment(2, key="k", tenant="other"),
            commitment(3, key="k", caller="runtime-7"),
        ]
        assert list(await ledger.commit(batch)) == [Committed()] * 3
        assert (await ledger.verify()).ok

    async def test_newest_first_by_pages(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(commitments(25))
        found = await listed(ledger, DecisionQuery("acme", page_size=7))
        assert [each.decision.decision_id for each in found] == [f"dec_{number:032x}" for number in range(25, 0, -1)]

    async def test_pages_hold_when_decisions_share_an_instant_and_more_arrive(
        self, ledger: CheckpointingLedger
    ) -> None:
        await ledger.commit([commitment(number, decided_at_us=START_US) for number in range(1, 8)])
        first = await ledger.query_decisions(DecisionQuery("acme", page_size=3))
        await ledger.commit([commitment(number, decided_at_us=START_US) for number in range(8, 12)])
        rest = await listed(ledger, DecisionQuery("acme", page_size=3, page_token=first.next_page_token))
        assert [each.sequence for each in (*first.decisions, *rest)] == [7, 6, 5, 4, 3, 2, 1]

    async def test_each_condition_restricts(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(
            [
                commitment(1, effect=Effect.DENY, tool="stripe.refund", run_id="run_9"),
                commitment(2),
                commitment(3, tenant="other"),
            ]
        )
        for given, expected in (
            ({}, [2, 1]),
            ({"effect": Effect.DENY}, [1]),
            ({"rule_id": "baseline.allow"}, [2]),
            ({"tool": "stripe.refund"}, [1]),
            ({"run_id": "run_9"}, [1]),
            ({"user": "u_2"}, [2]),
            ({"agent": "support-agent"}, [2, 1]),
            ({"agent": "support"}, []),
            ({"effect": Effect.DENY, "tool": "jira.search"}, []),
            ({"decided_from_us": START_US + 20}, [2]),
            ({"decided_until_us": START_US + 20}, [1]),
            ({"decided_from_us": START_US + 10, "decided_until_us": START_US + 21}, [2, 1]),
        ):
            found = await listed(ledger, replace(DecisionQuery("acme"), **given))
            assert [each.sequence for each in found] == expected, given

    async def test_caller_and_person_restrict(self, ledger: CheckpointingLedger) -> None:
        proven, asserted = UserProof(PROVEN, "https://id.example.com"), UserProof(ASSERTED)
        forged = '","caller":"ci'
        await ledger.commit(
            [
                commitment(1, caller="ci", user_proof=proven),
                commitment(2, caller="ci", user_proof=asserted),
                commitment(4, caller='ci "ö"', user_proof=proven),
                commitment(5, tenant="other", caller="ci", user_proof=proven),
                commitment(6, key=forged),
            ]
        )
        for given, expected in (
            ({"caller": "ci"}, [2, 1]),
            ({"caller": 'ci "ö"'}, [3]),
            ({"caller": "c"}, []),
            ({"caller": "unauthenticated"}, [5]),
            ({"person": "u_1"}, [3, 1]),
            ({"person": "u_1", "user": "u_1", "caller": "ci"}, [1]),
            ({"person": "u_2"}, []),
            ({"caller": "ci", "page_size": 1, "decided_from_us": START_US + 20}, [2]),
        ):
            found = await listed(ledger, replace(DecisionQuery("acme"), **given))
            assert [each.sequence for each in found] == expected, given
        found = await listed(ledger, DecisionQuery("acme", caller="ci"))
        assert [(each.user_method, each.user_issuer) for each in found] == [
            ("asserted", ""),
            ("token", "https://id.example.com"),
        ]

    async def test_a_page_is_never_larger_than_the_limit(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(commitments(PAGE_SIZE_MAX + 1))
        page = await ledger.query_decisions(DecisionQuery("acme", page_size=10**9))
        assert len(page.decisions) == PAGE_SIZE_MAX

    @pytest.mark.parametrize("token", ["x", "WzEsMl0=", "e30=", "é", "WzEsInciLDkyMjMzNzIwMzY4NTQ3NzU4MDhd", "////"])
    async def test_a_token_that_is_none(self, ledger: CheckpointingLedger, token: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            await ledger.query_decisions(DecisionQuery("acme", page_token=token))
        assert [violation.field for violation in caught.value.violations] == ["page_token"]

    async def test_other_records_stand_in_the_chain_and_are_no_decisions(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([server_started_commitment("0.1.0", "k", START_US)])
        await ledger.commit([invalid_request_commitment("acme", Caller(), "Authorize", [], START_US), commitment(1)])
        assert [each.sequence for each in await listed(ledger, DecisionQuery("acme"))] == [3]
        report = await ledger.verify()
        assert (report.records, report.chains, report.problems) == (3, 1, ())

    async def test_a_checkpoint_covers_what_none_covered(self, ledger: CheckpointingLedger) -> None:
        await ledger.checkpoint()
        assert (await ledger.verify()).checkpoints == 0
        await ledger.commit(commitments(3))
        assert ledger.records_since_checkpoint == 3
        await ledger.checkpoint()
        await ledger.checkpoint()
        assert ledger.records_since_checkpoint == 0
        await ledger.commit(commitments(2, 4))
        await ledger.checkpoint()
        report = await ledger.verify()
        assert (report.records, report.checkpoints, report.problems) == (5, 2, ())

    async def test_a_commit_signs_a_checkpoint_when_many_records_have_none(self, ledger: CheckpointingLedger) -> None:
        for start in range(1, CHECKPOINT_RECORDS_MAX, 100):
            await ledger.commit(commitments(100, start))
        assert ledger.records_since_checkpoint == 0
        report = await ledger.verify()
        assert (report.records, report.checkpoints, report.problems) == (CHECKPOINT_RECORDS_MAX, 1, ())

    async def test_commits_at_the_same_time(self, ledger: CheckpointingLedger) -> None:
        results = await asyncio.gather(*(ledger.commit(commitments(4, start)) for start in range(1, 81, 4)))
        assert [list(each) for each in results] == [[Committed()] * 4] * 20
        report = await ledger.verify()
        assert (report.records, report.problems) == (80, ())

    async def test_one_key_at_the_same_time_is_decided_once(self, ledger: CheckpointingLedger) -> None:
        first = commitment(1)
        rivals = [replace(commitment(number), idempotency=first.idempotency) for number in range(1, 21)]
        results = [result for [result] in await asyncio.gather(*(ledger.commit([each]) for each in rivals))]
        assert results.count(Committed()) == 1
        assert len({each.decision.decision_id for each in results if isinstance(each, IdempotentReplay)}) == 1

    async def test_a_cancelled_caller_breaks_nothing(self, ledger: CheckpointingLedger) -> None:
        tasks = [asyncio.create_task(_commit(ledger, start)) for start in range(1, 41, 2)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await ledger.commit([commitment(1_000)])
        report = await ledger.verify()
        assert report.ok
        assert report.records % 2 == 1  # whole batches, and the last
        assert report.records >= 21

    async def test_json_of_the_record_is_what_the_format_says(self, ledger: CheckpointingLedger) -> None:
        made = commitment(1, effect=Effect.REQUIRE_APPROVAL)
        await ledger.commit([made])
        assert orjson.loads(made.parts["decision"]) == {
            "reason": "Because the rule says so",
            "findings": [
                {
                    "effect": "require_approval",
                    "rule_id": "baseline.require_approval",
                    "reason": "Because the rule says so",
                    "details": {"limit": 1},
                }
            ],
            "approval": {
                "id": "",
                "expires_at_us": 0,
                "quorum": 2,
                "approver_roles": ["lead"],
                "distinct_roles": False,
            },
            "obligations": [],
            "budgets": [],
            "autonomy": "",
            "shadow_effect": None,
        }

    async def test_after_close_it_is_unavailable(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(commitments(1))
        await ledger.close()
        await ledger.close()
        for call in (
            ledger.commit(commitments(1, 2)),
            ledger.query_decisions(DecisionQuery("acme")),
            ledger.get_decision("acme", "x"),
            ledger.verify(),
            ledger.checkpoint(),
        ):
            with pytest.raises(LedgerUnavailableError):
                await call


async def _commit(ledger: Ledger, start: int) -> None:
    await ledger.commit(commitments(2, start))
