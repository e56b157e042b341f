"""What all steps have, and the values that calls are made of."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

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


class EvidenceItem(Strict):
    """A document that the agent based its proposal on."""

    uri: str
    sha256: str = ""


class Voter(Strict):
    """A person who votes."""

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


class WrittenAmount(Strict):
    """Money, as it is sent."""

    currency_code: str = ""
    minor_units: int = 0
    exponent: int | None = None


class BaseStep(Strict):
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

    def refers_to(self) -> tuple[tuple[str, str, type[BaseStep]], ...]:
        """The earlier steps that this one is about: key, id, and the kind that it must be of."""
        return ()


class Action(Strict):
    """What is about to run, by whom, in which run. `params_text` is sent as it is."""

    tool: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    params_text: str | None = None
    amount: Annotated[WrittenAmount | None, BeforeValidator(_read_amount)] = None
    scope: str = ""
    environment: str = ""
    destination: str = ""
    dry_run: bool = False
    tool_schema_version: str = ""
    identity: Identity = Identity()
    run: Run = Run()
