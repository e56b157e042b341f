"""Steps 3 and 4 of a decision: guards before policy, one query to the policy engine, guards after policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.decision.combining import denied_by_pdp, deny_overrides
from placet.decision.finding_bounds import recordable
from placet.decision.guards import GuardedDecision, apply_guards, deny_before_policy
from placet.kernel import rule_ids
from placet.kernel.model import Effect, Indeterminate
from placet.kernel.steps import mapped
from placet.scheduling.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.decision.combining import Resolution
    from placet.decision.context import BatchContext, EvaluationContext
    from placet.decision.ports import LoadedPolicy
    from placet.kernel.model import Verdict


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A context with what the guards left of the verdict, and the revision of the policy that gave it."""

    context: EvaluationContext
    guarded: GuardedDecision
    revision: str

    @property
    def confirms_stored_allow(self) -> bool:
        """Whether the stored allow of the idempotency key would be allowed now: there is nothing new to record."""
        return self.context.reevaluates and self.guarded.resolution.effect is Effect.ALLOW

    @property
    def asks_people(self) -> bool:
        """Whether it requires an approval."""
        return self.guarded.resolution.approval is not None


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates contexts.

    Calls `on_error(exc)` for internal errors and `on_invalid_verdict(rule_id, detail)` when a verdict of the policy
    engine is not believed.
    """

    on_error: Callable[[BaseException], None]
    on_invalid_verdict: Callable[[str, str], None]

    async def evaluate(self, contexts: Sequence[EvaluationContext], batch: BatchContext) -> Sequence[Evaluated]:
        """One result for each context, in order. An internal error denies all of them."""
        for context in contexts:
            if context.error is not None:
                self.on_error(context.error)
        try:
            return await self._evaluate(contexts, batch)
        except Exception as error:  # noqa: BLE001 - every path that cannot decide ends in a recorded deny
            self.on_error(error)
            denied = GuardedDecision(denied_by_pdp(rule_ids.INTERNAL_ERROR))
            return [Evaluated(context, denied, batch.revision) for context in contexts]

    async def _evaluate(self, contexts: Sequence[EvaluationContext], batch: BatchContext) -> Sequence[Evaluated]:
        denials = await in_slices(
            mapped(lambda context: deny_before_policy(context, batch), contexts, lambda one: one.proposal.is_large)
        )
        inputs = [one.policy_input for one, denied in zip(contexts, denials, strict=True) if denied is None]
        verdicts = iter(await _ask_policy(inputs, batch.policy))
        return [
            self._guarded(context, next(verdicts), batch)
            if denied is None
            else Evaluated(context, GuardedDecision(denied), batch.revision)
            for context, denied in zip(contexts, denials, strict=True)
        ]

    def _guarded(self, context: EvaluationContext, verdict: Verdict | Indeterminate, batch: BatchContext) -> Evaluated:
        """The verdict after all guards, at the revision that the engine named."""
        revision = batch.revision if isinstance(verdict, Indeterminate) else verdict.policy_revision
        guarded = apply_guards(deny_overrides(verdict), context)
        resolution = guarded.resolution
        if resolution.invalid_verdict_detail:
            self.on_invalid_verdict(resolution.rule_id, resolution.invalid_verdict_detail)
        return Evaluated(context, replace(guarded, resolution=_recordable(resolution, batch.policy)), revision)


async def _ask_policy(inputs: Sequence[bytes], policy: LoadedPolicy | None) -> Sequence[Verdict | Indeterminate]:
    if not inputs or policy is None:
        return ()
    verdicts = await policy.evaluate(inputs)
    if len(verdicts) != len(inputs):
        raise AssertionError("a policy engine gives one verdict for each input")
    return verdicts


def _recordable(resolution: Resolution, policy: LoadedPolicy | None) -> Resolution:
    return recordable(resolution, policy.where if policy is not None else None)
