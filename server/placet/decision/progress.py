"""The state of one batch on its way through the decision pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from placet.decision.attempt import Attempt
from placet.scheduling.batching import POSTPONED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from placet.audit.records import Commitment
    from placet.decision.attempt import Request
    from placet.decision.context import EvaluationContext
    from placet.decision.evaluation import Evaluated
    from placet.decision.replies import Answer
    from placet.scheduling.batching import Postponed

    Split = Callable[[Sequence[EvaluationContext]], Iterable[Sequence[EvaluationContext]]]


@dataclass(slots=True)
class Progress:
    """What is decided of a batch, what waits for the commit, and what must be tried again."""

    requests: Sequence[Request]
    split: Split
    """Splits the contexts of a batch into the pieces that are evaluated one after another."""
    postpones: bool
    """Whether calls with slow actions are postponed. Otherwise they are denied."""
    attempts: Sequence[Attempt]
    """The attempts of the requests that have no answer."""
    answers: dict[int, Answer | Postponed] = field(default_factory=dict)
    """By Attempt.index."""
    confirmed: list[EvaluationContext] = field(default_factory=list)
    """Stored allows that would be allowed now."""
    to_commit: list[tuple[EvaluationContext, Commitment]] = field(default_factory=list)

    @classmethod
    def of(cls, requests: Sequence[Request], split: Split, *, postpones: bool) -> Self:
        """Begin with the first attempt of each request."""
        attempts = [Attempt(i, request, approval_id=request.proposal.approval_id) for i, request in enumerate(requests)]
        return cls(requests, split, postpones, attempts)

    def begin(self) -> None:
        """Begin the evaluation of the attempts. Forgets what an earlier evaluation gave."""
        self.confirmed, self.to_commit = [], []

    def reload(self) -> None:
        """Try all requests without an answer again, because the policy was replaced."""
        self.attempts = [attempt.reloaded() for attempt in self.attempts if attempt.index not in self.answers]

    def unanswered(self, contexts: Sequence[EvaluationContext]) -> Sequence[EvaluationContext]:
        """Return the contexts whose requests have no answer."""
        answers = self.answers
        return [context for context in contexts if context.attempt.index not in answers] if answers else contexts

    def postpone_slow(self, evaluated: Sequence[Evaluated]) -> Sequence[Evaluated]:
        """Postpone all requests of calls with a slow action, if the batch postpones. Return what is left."""
        if not self.postpones or not any(item.slow for item in evaluated):
            return evaluated
        slow = {self._call(item.context.attempt.index) for item in evaluated if item.slow}
        slow -= {self._call(index) for index in self.answers}
        postponed = [index for index in range(len(self.requests)) if self._call(index) in slow]
        self.answers |= dict.fromkeys(postponed, POSTPONED)
        return [item for item in evaluated if item.context.attempt.index not in self.answers]

    def result(self) -> Sequence[Answer | Postponed]:
        """Return the answers, in the order of the requests."""
        return [self.answers[index] for index in range(len(self.requests))]

    def _call(self, index: int) -> int:
        """Return the identity of the call that brought the request."""
        request = self.requests[index]
        return id(request if request.call is None else request.call)
