"""Scenario files: the format of `placet.cli.scenarios.script`, with what tests expect besides.

A step may also say

* ``now``: the time it is decided at, e.g. ``2026-12-24T12:00:00Z``; such a step runs in process only, where the clock
  is the test's;
* ``audit``: what the trail holds of it, by dotted path into ``{event, input, findings, approval, replayable}``.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads it
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field

from placet.cli.scenarios.script import Script
from placet.cli.scenarios.steps import REFUSED, Call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet import sdk

FOLDER = Path(__file__).parent
GONE = "<absent>"
"""In `audit`: there is nothing at the path."""


class ScenarioStep(Call):
    """One tool call, and what is expected of it."""

    now: datetime | None = None
    audit: dict[str, Any] = Field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether the request breaks the contract, so that nothing is decided."""
        return self.expected[0] == REFUSED


class Scenario(Script):
    """A file of steps that do not depend on one another."""

    steps: tuple[ScenarioStep, ...] = Field(min_length=1)

    def asked(self) -> Iterator[tuple[ScenarioStep, sdk.Request]]:
        """Each step with its request."""
        for step, (_, request) in zip(self.steps, self.requests(), strict=True):
            yield step, request


def scenarios() -> dict[str, Scenario]:
    """File name without suffix -> scenario."""
    return {
        path.stem: Scenario.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in sorted(FOLDER.glob("*.yaml"))
    }


def expected_event(request: sdk.Request, effect: str, rule_id: str) -> dict[str, Any]:
    """The tool-call event, made from the request alone: what domain facts say that the audit gives, field by field."""
    action, identity, run, model = request.action, request.identity, request.run, request.model
    assert run is not None
    assert model is not None
    return {
        "trace_id": run.trace_id,
        "run_id": run.run_id,
        "user": {"id": identity.user, "tenant": identity.tenant},
        "model": {
            "name": model.name,
            "prompt_version": model.prompt_version,
            "input_tokens": model.input_tokens,
            "output_tokens": model.output_tokens,
        },
        "tool": {"name": action.tool, "scope": action.scope, "dry_run": action.dry_run},
        "policy": {"decision": effect, "rule_id": rule_id},
        "result": None,
    }


def at(document: Any, path: str) -> Any:
    """What stands at a dotted path; GONE when nothing does."""
    for part in path.split("."):
        if isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            return GONE
    return document
