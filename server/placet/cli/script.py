"""Scripts of agents' tool calls, as YAML: what the demo replays and what the scenario tests expect.

```yaml
description: What this is about.
identity: {agent: support-agent, user: u_4812, roles: [support_refunds], tenant: acme}
steps:
  - name: A refund below the limit
    tool: stripe.refund
    params: {charge: ch_1}
    amount: 45.00 USD
    expect: allow refunds.within_limit
```
"""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from placet import sdk
from placet.cli.amounts import parse_amount
from placet.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = "refused"
"""What is expected of a step whose request breaks the contract."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Identity(_Strict):
    agent: str = ""
    user: str = ""
    roles: tuple[str, ...] = ()
    tenant: str = ""
    delegation: tuple[str, ...] = ()


class _Run(_Strict):
    run_id: str = ""
    trace_id: str = ""
    step: int = 0
    workflow: str = ""
    planner: str = ""


class _Model(_Strict):
    name: str = ""
    prompt_version: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_cost_micros: int = 0


class _Evidence(_Strict):
    uri: str
    sha256: str = ""


def _read_amount(written: Any) -> Any:  # noqa: ANN401 - whatever YAML gives
    """``45.00 USD`` in exact minor units, or a mapping that is sent as it is (wrong ones are tested, too)."""
    if not isinstance(written, str):
        return written
    try:
        amount = parse_amount(written)
    except SetupError as error:
        raise ValueError(str(error)) from error
    return {"currency_code": amount.currency_code, "minor_units": amount.minor_units}


class _Amount(_Strict):
    currency_code: str = ""
    minor_units: int = 0
    exponent: int | None = None


class Step(_Strict):
    """One tool call; `params_text` is sent as it is. `expect` is ``<effect> <rule_id>``, or ``refused <field>``."""

    name: str
    tool: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    params_text: str | None = None
    amount: Annotated[_Amount | None, BeforeValidator(_read_amount)] = None
    scope: str = ""
    environment: str = ""
    destination: str = ""
    dry_run: bool = False
    tool_schema_version: str = ""
    identity: _Identity = _Identity()
    run: _Run = _Run()
    model: _Model = _Model()
    evidence: tuple[_Evidence, ...] = ()
    approval_id: str = ""
    idempotency_key: str | None = None
    expect: str

    @property
    def expected(self) -> tuple[str, str]:
        """Effect (or ``refused``) and rule_id (or the field that is named)."""
        effect, _, rule_id = self.expect.partition(" ")
        return effect, rule_id


class Script(_Strict):
    """Steps with what they have in common; a step's own values win."""

    description: str
    identity: _Identity = _Identity()
    run: _Run = _Run()
    model: _Model = _Model()
    steps: tuple[Step, ...] = Field(min_length=1)

    def requests(self) -> Iterator[tuple[Step, sdk.Request]]:
        """Each step with the request that it makes."""
        for index, step in enumerate(self.steps):
            run = _merged(self.run, step.run) | {"step": step.run.step or index}
            yield (
                step,
                sdk.Request(
                    action=sdk.Action(
                        tool=step.tool,
                        params=step.params_text if step.params_text is not None else json.dumps(step.params),
                        amount=sdk.Amount(**step.amount.model_dump()) if step.amount else None,
                        scope=step.scope,
                        environment=step.environment,
                        destination=step.destination,
                        dry_run=step.dry_run,
                        tool_schema_version=step.tool_schema_version,
                    ),
                    identity=sdk.Identity(**_merged(self.identity, step.identity)),
                    run=sdk.Run(**run),
                    model=sdk.Model(**_merged(self.model, step.model)),
                    evidence=[sdk.Evidence(**item.model_dump()) for item in step.evidence],
                    idempotency_key=step.idempotency_key,
                    approval_id=step.approval_id,
                ),
            )


def load_script(path: Path) -> Script:
    """Read a script. SetupError says what is wrong in which file."""
    try:
        return Script.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}; name another with --script") from error
    except yaml.YAMLError as error:
        raise SetupError(f"{path}: is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SetupError(f"{path}: {place}: {first['msg']}") from error


def _merged(common: BaseModel, own: BaseModel) -> dict[str, Any]:
    return common.model_dump() | own.model_dump(exclude_unset=True)
