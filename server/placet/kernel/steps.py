"""Work in steps, so that the event loop can run other tasks in between.

Python's JSON, regular expressions and loops hold the interpreter's lock, so a thread would not free the loop. Work
that may be large is therefore a generator that yields after each bounded piece (some milliseconds for the largest
legal input). Small inputs are processed without a yield. Callers without an event loop use `exhausted`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeAlias, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Steps: TypeAlias = Generator[None, None, Result]


def exhausted(steps: Steps[Result]) -> Result:
    """Run all steps at once and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


TOGETHER: Final = 16
"""Small actions of a batch that share one step: half a millisecond at each stage of a decision, one with budgets."""


def mapped(
    work: Callable[[Item], Result], items: Iterable[Item], is_large: Callable[[Item], bool]
) -> Steps[list[Result]]:
    """Apply `work` to the items, in steps of one large or TOGETHER small items; return the results.

    No step ends after the last item: a full batch of small items would otherwise wait for other tasks at each stage.
    """
    results: list[Result] = []
    step_ends = False
    for item in items:
        if step_ends:
            yield
        results.append(work(item))
        step_ends = is_large(item) or not len(results) % TOGETHER
    return results
