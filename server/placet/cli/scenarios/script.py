"""Scripts of agents' tool calls, as YAML: what the demo replays and what the scenario tests expect.

```yaml
description: What this is about.
identity: {agent: support-agent, user: u_4812, roles: [support_refunds], tenant: acme}
run: {run_id: run_<new>}
steps:
  - id: refund
    name: A refund above the limit
    tool: stripe.refund
    params: {charge: ch_1, amount: 900.00, currency: USD}
    amount: 900.00 USD
    expect: require_approval refunds.over_limit
  - {name: A lead agrees, approve: refund, by: [{id: u_1, roles: [support_lead]}], expect: approved}
  - {name: The agent asks again, again: refund, approval_of: refund, expect: allow approvals.granted}
```

``<new>`` in a user, a run_id, an idempotency_key and in params becomes a new text in each replay of the script.
"""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Any, Final, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from placet import sdk
from placet.cli.scenarios.control_steps import Advance, Kill
from placet.cli.scenarios.step_base import Action, Identity, Model, Run, Strict
from placet.cli.scenarios.steps import KINDS, Call, Step, Verify
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

NEW: Final = "<new>"
"""Becomes a new text in each replay."""


class Script(Strict):
    """Steps with what they have in common; a step's own values win."""

    description: str
    agent_policy: dict[str, Any] | None = None
    """The tenant's file, for a scenario whose server is started for it. `placet demo` serves its own policy folder."""
    identity: Identity = Identity()
    run: Run = Run()
    model: Model = Model()
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _about_steps_before(self) -> Self:
        known: dict[str, Step] = {}
        for index, step in enumerate(self.steps):
            for key, name, kind in step.refers_to():
                if name not in known:
                    raise ValueError(f"steps.{index}.{key}: no step before it has the id {name!r}")
                if not isinstance(known[name], kind):
                    text = f"steps.{index}.{key}: step {name!r} is no {kind.__name__.lower()}"
                    raise ValueError(text)  # noqa: TRY004 - pydantic reads ValueErrors
            if isinstance(step, Kill) and not self.identity.tenant:
                raise ValueError(f"steps.{index}.kill: the script's identity has no tenant, and it would stop them all")
            if step.id in known:
                raise ValueError(f"steps.{index}.id: another step has the id {step.id!r}")
            if step.id:
                known[step.id] = step
        return self

    def clock_step(self) -> str:
        """Place of the first step that moves the clock, such as ``steps.3.advance``; empty if there is none."""
        for index, step in enumerate(self.steps):
            if isinstance(step, Advance):
                return f"steps.{index}.advance"
            if isinstance(step, Call) and step.now is not None:
                return f"steps.{index}.now"
        return ""

    def requests(self) -> Iterator[tuple[Call, sdk.Request]]:
        """Each tool call with the request that it makes."""
        for index, step in enumerate(self.steps):
            if isinstance(step, Call):
                yield step, self.request(step, index, NEW)

    def request(self, step: Call | Verify, index: int, new: str, approval_id: str = "") -> sdk.Request:
        """The request that the step at an index makes, with `new` where it says ``<new>``."""
        said = self._action(step)
        params = said.params_text if said.params_text is not None else json.dumps(said.params)
        identity = _merged(self.identity, said.identity)
        run = _merged(self.run, said.run) | {"step": said.run.step or index}
        asked = step if isinstance(step, Call) else None
        key = asked.idempotency_key if asked else None
        return sdk.Request(
            action=sdk.Action(
                tool=said.tool,
                params=params.replace(NEW, new),
                amount=sdk.Amount(**said.amount.model_dump()) if said.amount else None,
                scope=said.scope,
                environment=said.environment,
                destination=said.destination,
                dry_run=said.dry_run,
                tool_schema_version=said.tool_schema_version,
            ),
            identity=sdk.Identity(**identity | {"user": identity["user"].replace(NEW, new)}),
            run=sdk.Run(**run | {"run_id": run["run_id"].replace(NEW, new)}),
            model=sdk.Model(**_merged(self.model, asked.model if asked else Model())),
            evidence=[sdk.Evidence(**item.model_dump()) for item in asked.evidence] if asked else [],
            idempotency_key=key.replace(NEW, new) if key else key,
            approval_id=approval_id or (asked.approval_id if asked else ""),
            include_permit=any(isinstance(each, Verify) and each.verify == step.id for each in self.steps),
        )

    def _action(self, step: Call | Verify) -> Action:
        """What the step says, on top of what the one says that it repeats."""
        own = {name: getattr(step, name) for name in step.model_fields_set & Action.model_fields.keys()}
        repeated = step.again if isinstance(step, Call) else step.verify
        if not repeated:
            return Action.model_construct(**own)
        [earlier] = (each for each in self.steps if isinstance(each, Call) and each.id == repeated)
        if "params" in own:
            own.setdefault("params_text", None)
        return self._action(earlier).model_copy(update=own)


def load_script(path: Path) -> Script:
    """Read a file with one script. ConfigurationError names the file, the step and the key."""
    documents = _documents(path)
    return _validated(path, documents[0] if len(documents) == 1 else documents)


def load_script_for_server(path: Path) -> Script:
    """Read a script that is played against a server. ConfigurationError if only tests can play it."""
    script = load_script(path)
    if place := script.clock_step():
        raise ConfigurationError(f"{path}: {place}: a server's clock cannot be set; remove the key")
    if script.agent_policy is not None:
        raise ConfigurationError(f"{path}: agent_policy: the tenant's file belongs to --rego-dir; remove the key")
    return script


def load_scripts(path: Path) -> tuple[Script, ...]:
    """Read a file with several scripts, as YAML documents. ConfigurationError names the file, the step and the key."""
    return tuple(_validated(path, document) for document in _documents(path))


def _documents(path: Path) -> list[Any]:
    try:
        return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}; name another with --script") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is not YAML: {error}") from error


def _validated(path: Path, document: object) -> Script:
    try:
        return Script.model_validate(document)
    except ValidationError as error:
        name = document.get("description") if isinstance(document, dict) else None
        place = f"{path}: {name}" if name and isinstance(name, str) else f"{path}"
        raise ConfigurationError(f"{place}: {_told(error.errors()[0])}") from error


def _told(error: ErrorDetails) -> str:
    """Place and message. The place is that in the file: pydantic names the kind of step after its index."""
    head, kind, tail = error["loc"][:2], error["loc"][2:3], error["loc"][3:]
    place = (*head, *(kind if kind and kind[0] not in KINDS else ()), *tail)
    message = error["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, (".".join(str(part) for part in place), message)))


def _merged(common: BaseModel, own: BaseModel) -> dict[str, Any]:
    return common.model_dump() | own.model_dump(exclude_unset=True)
