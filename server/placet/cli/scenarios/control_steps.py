"""Steps of operators: kill switches, levels of autonomy, budgets; and of the clock."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from placet import sdk
from placet.cli.scenarios.step_base import REFUSED, BaseStep, Strict


class StoppedCalls(Strict):
    """Exactly one of them."""

    tool: str = ""
    agent: str = ""
    workflow: str = ""
    run: str = ""

    @property
    def scope(self) -> tuple[sdk.KillScope, str]:
        """What kind of thing, and which."""
        [(kind, value)] = ((kind, value) for kind, value in self if value)
        return sdk.KillScope(kind), value

    @model_validator(mode="after")
    def _one(self) -> StoppedCalls:
        if sum(bool(value) for _, value in self) != 1:
            raise ValueError("name one of tool, agent, workflow, run")
        return self


class Kill(BaseStep):
    """A kill switch is set, in the script's tenant alone. It is cleared when the script ends, at the latest."""

    WORDS = frozenset({"set", REFUSED})

    kill: StoppedCalls
    seconds: int = Field(default=0, ge=0)
    """When it ends by itself. 0: after five minutes."""


class Clear(BaseStep):
    """A kill switch that the script set is cleared."""

    WORDS = frozenset({"cleared", REFUSED})

    clear: str

    def refers_to(self) -> tuple[tuple[str, str, type[BaseStep]], ...]:
        """The step that set it."""
        return (("clear", self.clear, Kill),)


class SetAutonomy(BaseStep):
    """A level of autonomy is set for the actions that match; ``file`` removes it.

    `waiting`: a second person must confirm it.
    """

    WORDS = frozenset({"set", "waiting", REFUSED})

    set_autonomy: Literal["observe_only", "draft_only", "execute_with_approval", "execute", "file"]
    workflow: str = ""
    tool: str = ""
    agent: str = ""
    by: str = "ada"


class AdjustBudget(BaseStep):
    """An amount is added to what a budget's counter has used. `waiting`: a second person must confirm it."""

    WORDS = frozenset({"adjusted", "waiting", REFUSED})

    adjust_budget: str
    scope_key: str = ""
    amount: int
    by: str = "ada"


class Advance(BaseStep):
    """The clock advances by so many seconds. Only a scenario that is played inside the process can do that."""

    WORDS = frozenset({"advanced"})

    name: str = "The clock advances"
    expect: str = "advanced"
    advance: float
