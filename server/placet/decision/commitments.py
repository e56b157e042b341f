"""End of step 4 of a decision: build the commitment of each evaluated request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from placet.decision.attempt import attempt_is_large
from placet.decision.combining import denied_by_pdp
from placet.decision.guards import GuardedDecision
from placet.kernel import rule_ids
from placet.kernel.errors import PlacetError
from placet.kernel.steps import TOGETHER
from placet.scheduling.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.approvals.index import IndexEntry
    from placet.audit.records import Commitment
    from placet.decision.context import EvaluationContext
    from placet.decision.evaluation import Evaluated
    from placet.decision.open_requests import OpenRequests
    from placet.decision.recorder import Recorder
    from placet.kernel.steps import Steps


@dataclass(frozen=True, slots=True)
class CommitmentBuilder:
    """Builds commitments. A request whose commitment cannot be built gets a recorded deny."""

    recorder: Recorder
    open_requests: OpenRequests
    on_error: Callable[[BaseException], None]
    """Receives internal errors."""

    async def build(self, evaluated: Sequence[Evaluated]) -> list[tuple[EvaluationContext, Commitment]]:
        """Return each context with its commitment, in order. Raises LedgerUnavailableError."""
        return await in_slices(self._commitments(evaluated, await self._indexed(evaluated)))

    async def _indexed(self, evaluated: Sequence[Evaluated]) -> Mapping[int, IndexEntry]:
        """Return the index entry of the action by Attempt.index, for each decision that requires an approval."""
        attempts = [item.context.attempt for item in evaluated if item.asks_people]
        entries: dict[int, IndexEntry] = {}
        for group in (attempts, *([attempt] for attempt in attempts)):  # one by one if all together fails
            if entries.keys() >= {attempt.index for attempt in group}:
                continue
            try:
                indexed = await self.open_requests.of(group)
            except PlacetError:
                raise
            except Exception as error:  # noqa: BLE001 - an attempt whose request cannot be looked up is denied
                self.on_error(error)
            else:
                entries |= {attempt.index: entry for attempt, entry in zip(group, indexed, strict=True)}
        return entries

    def _commitments(
        self, evaluated: Sequence[Evaluated], indexed: Mapping[int, IndexEntry]
    ) -> Steps[list[tuple[EvaluationContext, Commitment]]]:
        """Build the commitments in steps, so that the event loop can do other work between them."""
        built: list[tuple[EvaluationContext, Commitment]] = []
        step_ends = False
        for item in evaluated:
            if step_ends:
                yield
            commitment = yield from self._commitment(item, indexed.get(item.context.attempt.index))
            built.append((item.context, commitment))
            step_ends = attempt_is_large(item.context.attempt) or not len(built) % TOGETHER
        return built

    def _commitment(self, evaluated: Evaluated, indexed: IndexEntry | None) -> Steps[Commitment]:
        guarded = not evaluated.context.attempt.given_up
        try:
            return (yield from self.recorder.commitment(evaluated, indexed, guarded=guarded))
        except Exception as error:  # noqa: BLE001 - a decision that cannot be recorded becomes a recorded deny
            self.on_error(error)
            denial = GuardedDecision(denied_by_pdp(rule_ids.INTERNAL_ERROR))
            return self.recorder.withheld(replace(evaluated, guarded=denial))
