"""The kinds of steps that a script is made of. Each is known by its key; one with none of them is a tool call."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from placet import sdk
from placet.cli.rendering.amounts import parse_amount
from placet.kernel.errors import ConfigurationError

REFUSED: Final = "refused"
"""What is expected of a step that is not taken: its request breaks the contract, or the person may not do that."""


class Strict(BaseModel):
    """A key that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(Strict):
    """Who asks."""

    agent: str = ""
    user: str = ""
    roles: tuple[str, ...] = ()
    tenant: str = ""
    delegation: tuple[str, ...] = ()


class Run(Strict):
    """The agent task that calls belong to."""

    run_id: str = ""
    trace_id: str = ""
    step: int = 0
    workflow: str = ""
    planner: str = ""


class Model(Strict):
    """The model that proposes calls."""

    name: str = ""
    prompt_version: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_cost_micros: int = 0


class _Evidence(Strict):
    uri: str
    sha256: str = ""


class _Person(Strict):
    id: str
    roles: tuple[str, ...] = ()


def _read_amount(written: Any) -> Any:  # noqa: ANN401 - whatever YAML gives
    """``45.00 USD`` in exact minor units, or a mapping that is sent as it is (wrong ones are tested, too)."""
    if not isinstance(written, str):
        return written
    try:
        amount = parse_amount(written)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return {"currency_code": amount.currency_code, "minor_units": amount.minor_units}


class _Amount(Strict):
    currency_code: str = ""
    minor_units: int = 0
    exponent: int | None = None


class _Step(Strict):
    """`expect` is a word and, where there is one, the id of why: ``allow refunds.within_limit``."""

    WORDS: ClassVar[frozenset[str]]

    id: str = ""
    name: str
    expect: str

    @property
    def expected(self) -> tuple[str, str]:
        """The word, and the id (of a rule, of why it is refused, or the field that is named), or empty."""
        word, _, why = self.expect.partition(" ")
        return word, why

    @field_validator("expect")
    @classmethod
    def _a_word_of_its_kind(cls, expect: str) -> str:
        word = expect.partition(" ")[0]
        if word not in cls.WORDS:
            raise ValueError(f"{word!r} is not what such a step gives; write one of {', '.join(sorted(cls.WORDS))}")
        return expect

    def refers_to(self) -> tuple[tuple[str, str, type[_Step]], ...]:
        """The earlier steps that this one is about: key, id, and the kind that it must be of."""
        return ()


class Action(Strict):
    """What is about to run, by whom, in which run. `params_text` is sent as it is."""

    tool: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    params_text: str | None = None
    amount: Annotated[_Amount | None, BeforeValidator(_read_amount)] = None
    scope: str = ""
    environment: str = ""
    destination: str = ""
    dry_run: bool = False
    tool_schema_version: str = ""
    identity: Identity = Identity()
    run: Run = Run()


class Call(_Step, Action):
    """A tool call that is asked about.

    `again` is the id of an earlier one: the same action, but for what this step says itself. `approval_of` is the id of
    the one whose approval it presents.
    """

    WORDS = frozenset({*sdk.Effect, REFUSED})

    model: Model = Model()
    evidence: tuple[_Evidence, ...] = ()
    again: str = ""
    approval_id: str = ""
    approval_of: str = ""
    idempotency_key: str | None = None

    def refers_to(self) -> tuple[tuple[str, str, type[_Step]], ...]:
        """The calls that it repeats, and whose approval it presents."""
        named = (("again", self.again), ("approval_of", self.approval_of))
        return tuple((key, name, Call) for key, name in named if name)

    @model_validator(mode="after")
    def _one_approval(self) -> Call:
        if self.approval_id and self.approval_of:
            raise ValueError("has approval_id and approval_of; write one of them")
        return self


class _Vote(_Step):
    """People's word about a call that asked for them, one after the other; what the last one is told is shown."""

    WORDS = frozenset({*sdk.ApprovalState, REFUSED})

    by: tuple[_Person, ...] = Field(min_length=1)


class Approve(_Vote):
    """A yes. It is `pending` while more people are needed."""

    approve: str
    reason: str = ""

    def refers_to(self) -> tuple[tuple[str, str, type[_Step]], ...]:
        """The call that is approved."""
        return (("approve", self.approve, Call),)


class Reject(_Vote):
    """A no, which ends it."""

    reject: str
    reason: str

    def refers_to(self) -> tuple[tuple[str, str, type[_Step]], ...]:
        """The call that is rejected."""
        return (("reject", self.reject, Call),)


class Outcome(_Step):
    """What an allowed call did: succeeded, failed, not_executed or unknown."""

    WORDS = frozenset({"reported", REFUSED})

    outcome: str
    status: sdk.OutcomeStatus

    def refers_to(self) -> tuple[tuple[str, str, type[_Step]], ...]:
        """The call that is reported on."""
        return (("outcome", self.outcome, Call),)


class Verify(_Step, Action):
    """An executor looks at the permit of a call, offline, before it runs that action; or another one, as it says."""

    WORDS = frozenset({"verified", REFUSED})

    verify: str

    def refers_to(self) -> tuple[tuple[str, str, type[_Step]], ...]:
        """The call whose permit it is."""
        return (("verify", self.verify, Call),)


class _Stopped(Strict):
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
    def _one(self) -> _Stopped:
        if sum(bool(value) for _, value in self) != 1:
            raise ValueError("name one of tool, agent, workflow, run")
        return self


class Kill(_Step):
    """A kill switch is set, in the script's tenant alone. It is cleared when the script ends, at the latest."""

    WORDS = frozenset({"set", REFUSED})

    kill: _Stopped


class Clear(_Step):
    """A kill switch that the script set is cleared."""

    WORDS = frozenset({"cleared", REFUSED})

    clear: str

    def refers_to(self) -> tuple[tuple[str, str, type[_Step]], ...]:
        """The step that set it."""
        return (("clear", self.clear, Kill),)


_CALL: Final = "call"
KINDS: Final = (_CALL, "approve", "reject", "outcome", "verify", "kill", "clear")
"""How steps are told from one another: by the one of these keys that they have."""


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
    | Annotated[Clear, Tag("clear")],
    Discriminator(_kind),
]
"""One line of the table."""
