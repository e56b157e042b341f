"""Work in steps, so that the event loop can do other things in between.

Python's JSON, its regular expressions and its loops hold the interpreter's lock, so a thread would not free the loop.
Instead what may be large is a generator that yields after each bounded piece of work (some milliseconds for the largest
legal input); small inputs are done without a yield. Who has no event loop exhausts it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeAlias, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Steps: TypeAlias = Generator[None, None, Result]


def exhausted(steps: Steps[Result]) -> Result:
    """All steps at once; what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Result = done.value
            return result


TOGETHER: Final = 8
"""Small actions of a batch in one step: a millisecond at each stage of a decision."""


def mapped(
    work: Callable[[Item], Result], items: Iterable[Item], is_large: Callable[[Item], bool]
) -> Steps[list[Result]]:
    """The work done on each of the items, a step for each large one and for TOGETHER small ones."""
    done: list[Result] = []
    for item in items:
        done.append(work(item))
        if is_large(item) or not len(done) % TOGETHER:
            yield
    return done
