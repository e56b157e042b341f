"""The kinds of steps that a script is made of. Each is known by its key; one with none of them is a tool call."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from placet import sdk
from placet.cli.scenarios.control_steps import AdjustBudget, Advance, Clear, Kill, SetAutonomy
from placet.cli.scenarios.step_base import REFUSED, Action, BaseStep, EvidenceItem, Model, Voter


class Call(BaseStep, Action):
    """A tool call that is asked about.

    `again` is the id of an earlier one: the same action, but for what this step says itself. `approval_of` is the id of
    the one whose approval it presents.
    """

    WORDS = frozenset({*sdk.Effect, REFUSED})

    model: Model = Model()
    evidence: tuple[EvidenceItem, ...] = ()
    again: str = ""
    approval_id: str = ""
    approval_of: str = ""
    idempotency_key: str | None = None
    now: datetime | None = None
    """Time from this step on. Only a scenario that is played inside the process can set it."""
    times: int = Field(default=1, ge=1)
    """How often the call is asked about; each time the answer is the same."""
    same_as: str = ""
    """Expected: the decision of that earlier call is returned again."""
    remaining: dict[str, int] = Field(default_factory=dict)
    """Expected: budget id -> what is left after the decision."""
    reason: str | None = None
    quorum: int | None = None
    approver_roles: tuple[str, ...] | None = None
    autonomy: str | None = None
    shadow_effect: str | None = None
    audit: dict[str, Any] = Field(default_factory=dict)
    """Expected values in the audit record, by dotted path; ``<absent>`` for none."""

    def refers_to(self) -> tuple[tuple[str, str, type[BaseStep]], ...]:
        """The calls that it repeats, and whose approval it presents."""
        named = (("again", self.again), ("approval_of", self.approval_of), ("same_as", self.same_as))
        return tuple((key, name, Call) for key, name in named if name)

    @model_validator(mode="after")
    def _one_approval(self) -> Call:
        if self.approval_id and self.approval_of:
            raise ValueError("has approval_id and approval_of; write one of them")
        return self


class _Vote(BaseStep):
    """Votes of people about a call that requires approval, one after the other. The last result is shown."""

    WORDS = frozenset({*sdk.ApprovalState, REFUSED})
    VERB: ClassVar[str]

    by: tuple[Voter, ...] = Field(min_length=1)

    @property
    def about(self) -> str:
        """Id of the call."""
        return str(getattr(self, self.VERB))

    def refers_to(self) -> tuple[tuple[str, str, type[BaseStep]], ...]:
        """The call that is voted on."""
        return ((self.VERB, self.about, Call),)


class Approve(_Vote):
    """A yes. The approval is `pending` while more people are needed."""

    VERB = "approve"

    approve: str
    reason: str = ""


class Reject(_Vote):
    """A no, which ends the approval."""

    VERB = "reject"

    reject: str
    reason: str


class Cancel(_Vote):
    """Withdraws the request for approval."""

    VERB = "cancel"

    cancel: str
    reason: str = ""


class Outcome(BaseStep):
    """What an allowed call did: succeeded, failed, not_executed or unknown; and what it used."""

    WORDS = frozenset({"reported", REFUSED})

    outcome: str
    status: sdk.OutcomeStatus
    tokens: int | None = None
    cost_micros: int | None = None
    amount_minor_units: int | None = None
    exceeded: tuple[str, ...] | None = None
    """Expected: ids of the budgets whose limit is now exceeded."""

    def refers_to(self) -> tuple[tuple[str, str, type[BaseStep]], ...]:
        """The call that is reported on."""
        return (("outcome", self.outcome, Call),)


class Verify(BaseStep, Action):
    """An executor looks at the permit of a call, offline, before it runs that action; or another one, as it says."""

    WORDS = frozenset({"verified", REFUSED})

    verify: str

    def refers_to(self) -> tuple[tuple[str, str, type[BaseStep]], ...]:
        """The call whose permit it is."""
        return (("verify", self.verify, Call),)


_CALL: Final = "call"
_OTHERS: Final = ("approve", "reject", "cancel", "outcome", "verify", "kill", "clear")
KINDS: Final = (_CALL, *_OTHERS, "set_autonomy", "adjust_budget", "advance")
"""A step has exactly one of these keys, which says what kind it is."""


def _kind(written: Any) -> str:  # noqa: ANN401 - whatever YAML gives
    keys = written if isinstance(written, dict) else ()
    return next((kind for kind in KINDS[1:] if kind in keys), _CALL)


Step: TypeAlias = Annotated[
    Annotated[Call, Tag(_CALL)]
    | Annotated[Approve, Tag("approve")]
    | Annotated[Reject, Tag("reject")]
    | Annotated[Outcome, Tag("outcome")]
    | Annotated[Verify, Tag("verify")]
    | Annotated[Kill, Tag("kill")]
    | Annotated[Clear, Tag("clear")]
    | Annotated[Cancel, Tag("cancel")]
    | Annotated[SetAutonomy, Tag("set_autonomy")]
    | Annotated[AdjustBudget, Tag("adjust_budget")]
    | Annotated[Advance, Tag("advance")],
    Discriminator(_kind),
]
"""One line of the table."""
