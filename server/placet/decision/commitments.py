"""Step 4 of a decision, its end: what to commit for each evaluated request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.decision.combining import denied_by_pdp
from placet.decision.guards import GuardedDecision
from placet.kernel import rule_ids
from placet.kernel.errors import PlacetError
from placet.kernel.steps import TOGETHER
from placet.scheduling.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.approvals.index import Indexed
    from placet.audit.records import Commitment
    from placet.decision.context import EvaluationContext
    from placet.decision.evaluation import Evaluated
    from placet.decision.open_requests import OpenRequests
    from placet.decision.recorder import Recorder
    from placet.kernel.steps import Steps


@dataclass(frozen=True, slots=True)
class CommitmentBuilder:
    """Builds commitments; a request for which that fails is denied, and the deny is recorded."""

    recorder: Recorder
    open_requests: OpenRequests
    on_error: Callable[[BaseException], None]

    async def build(self, evaluated: Sequence[Evaluated]) -> list[tuple[EvaluationContext, Commitment]]:
        """The commitment of each. LedgerUnavailableError."""
        return await in_slices(self._commitments(evaluated, await self._indexed(evaluated)))

    async def _indexed(self, evaluated: Sequence[Evaluated]) -> Mapping[int, Indexed]:
        """Attempt.index -> what is known of requests for approval of the action, for those that ask people."""
        asking = [one.context.attempt for one in evaluated if one.asks_people]
        found: dict[int, Indexed] = {}
        for some in (asking, *([attempt] for attempt in asking)):  # one by one when together fails
            if found.keys() >= {attempt.index for attempt in some}:
                continue
            try:
                indexed = await self.open_requests.of(some)
            except PlacetError:
                raise
            except Exception as error:  # noqa: BLE001 - an attempt whose request cannot be looked up is denied
                self.on_error(error)
            else:
                found |= {attempt.index: entry for attempt, entry in zip(some, indexed, strict=True)}
        return found

    def _commitments(
        self, evaluated: Sequence[Evaluated], indexed: Mapping[int, Indexed]
    ) -> Steps[list[tuple[EvaluationContext, Commitment]]]:
        """Built in steps: other work gets its turn on the event loop."""
        built: list[tuple[EvaluationContext, Commitment]] = []
        for one in evaluated:
            commitment = yield from self._commitment(one, indexed.get(one.context.attempt.index))
            built.append((one.context, commitment))
            if one.context.proposal.is_large or not len(built) % TOGETHER:
                yield
        return built

    def _commitment(self, one: Evaluated, indexed: Indexed | None) -> Steps[Commitment]:
        guarded = not one.context.attempt.given_up
        try:
            return (yield from self.recorder.commitment(one, indexed, guarded=guarded))
        except Exception as error:  # noqa: BLE001 - what cannot be recorded as it is denies, and that is recorded
            self.on_error(error)
            denied = GuardedDecision(denied_by_pdp(rule_ids.INTERNAL_ERROR))
            return self.recorder.withheld(replace(one, guarded=denied))
