"""Steps 3 and 4 of a decision: guards before policy, one query to the policy engine, guards after policy.

`DecisionPoint` calls `Evaluator.evaluate` with the contexts of a batch, or of a piece of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from placet.decision.attempt import attempt_is_large
from placet.decision.combining import denied_by_pdp, deny_overrides
from placet.decision.finding_bounds import recordable
from placet.decision.guards import GuardedDecision, apply_guards, deny_before_policy
from placet.kernel import rule_ids
from placet.kernel.model import Effect, Indeterminate
from placet.kernel.steps import mapped
from placet.scheduling.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.decision.context import BatchContext, EvaluationContext
    from placet.decision.ports import LoadedPolicy
    from placet.kernel.model import Verdict


class Evaluated(Struct, frozen=True):
    """A context with its decision."""

    context: EvaluationContext
    guarded: GuardedDecision
    """The decision after all guards."""
    revision: str
    """The revision of the policy that gave the verdict."""
    slow: bool = False
    """Whether policy needs more time for this input than a batch may wait."""

    @property
    def confirms_stored_allow(self) -> bool:
        """Whether the stored allow of the idempotency key would be allowed now. Then nothing new is recorded."""
        return self.context.reevaluates and self.guarded.resolution.effect is Effect.ALLOW

    @property
    def asks_people(self) -> bool:
        """Whether the decision requires an approval."""
        return self.guarded.resolution.approval is not None


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates contexts."""

    on_error: Callable[[BaseException], None]
    """Receives internal errors."""
    on_invalid_verdict: Callable[[str, str], None]
    """Receives (rule_id, detail) when a verdict of the policy engine fails validation."""
    singly: bool = False
    """Whether the policy engine evaluates each input apart, with the whole time limit."""

    async def evaluate(self, contexts: Sequence[EvaluationContext], batch: BatchContext) -> Sequence[Evaluated]:
        """Return one result for each context, in order. An internal error denies all of them."""
        for context in contexts:
            if context.error is not None:
                self.on_error(context.error)
        try:
            return await self._evaluate(contexts, batch)
        except Exception as error:  # noqa: BLE001 - every path that cannot decide ends in a recorded deny
            self.on_error(error)
            denial = GuardedDecision(denied_by_pdp(rule_ids.INTERNAL_ERROR))
            return [Evaluated(context, denial, batch.revision) for context in contexts]

    async def _evaluate(self, contexts: Sequence[EvaluationContext], batch: BatchContext) -> Sequence[Evaluated]:
        denials = await in_slices(
            mapped(
                lambda context: deny_before_policy(context, batch),
                contexts,
                lambda context: attempt_is_large(context.attempt),
            )
        )
        inputs = [context.policy_input for context, denial in zip(contexts, denials, strict=True) if denial is None]
        verdicts = iter(await self._ask_policy(inputs, batch.policy))
        return [
            self._guarded(context, next(verdicts), batch)
            if denial is None
            else Evaluated(context, GuardedDecision(denial), batch.revision)
            for context, denial in zip(contexts, denials, strict=True)
        ]

    def _guarded(self, context: EvaluationContext, verdict: Verdict | Indeterminate, batch: BatchContext) -> Evaluated:
        """Return the verdict after all guards, with the revision that the engine named."""
        guarded = apply_guards(deny_overrides(verdict), context)
        resolution = guarded.resolution
        if resolution.invalid_verdict_detail:
            self.on_invalid_verdict(resolution.rule_id, resolution.invalid_verdict_detail)
        recorded = recordable(resolution, batch.policy.where if batch.policy is not None else None)
        if recorded is not resolution:
            guarded = replace(guarded, resolution=recorded)
        if isinstance(verdict, Indeterminate):
            return Evaluated(context, guarded, batch.revision, verdict.slow)
        return Evaluated(context, guarded, verdict.policy_revision)

    async def _ask_policy(
        self, inputs: Sequence[bytes], policy: LoadedPolicy | None
    ) -> Sequence[Verdict | Indeterminate]:
        if not inputs or policy is None:
            return ()
        verdicts = await (policy.evaluate_singly if self.singly else policy.evaluate)(inputs)
        if len(verdicts) != len(inputs):
            raise AssertionError("a policy engine returns one verdict for each input")
        return verdicts
