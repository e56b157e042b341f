"""The tenant that the races are about, and what its agents ask for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from placet.v1 import authorization_pb2
from tests.faults.serving import policy_copy

if TYPE_CHECKING:
    from pathlib import Path

TENANT: Final = "races"
READ: Final = "vault.read"
"""Allowed."""
TAKE: Final = "vault.take"
"""One unit of the budget `units`, which has as many as the test wants for each workflow."""
PAY: Final = "vault.pay"
"""An amount of the budget `money`, and one call of the budget `tries`, which nobody reaches the end of."""
WIRE: Final = "vault.wire"
"""Needs one keeper."""
EMPTY: Final = "vault.empty"
"""Needs two keepers."""
POLICY: Final = f"""
agent_policy:
  default_mode: read_only
  allowed_tools: [{READ}]
  write_tools: [{TAKE}, {PAY}, {WIRE}, {EMPTY}]
  approvals:
    {TAKE}: not_required
    {PAY}: not_required
    {WIRE}: {{quorum: 1, approver_roles: [keeper]}}
    {EMPTY}: {{quorum: 2, approver_roles: [keeper]}}
  budgets:
    - {{id: units, scope: workflow, measure: calls, limit: %d, window: lifetime, match: {{tools: [{TAKE}]}}}}
    - id: money
      scope: tenant
      measure: amount
      currency: USD
      limit: 1000000000.00
      window: lifetime
      match: {{tools: [{PAY}]}}
    - id: tries
      scope: agent
      measure: calls
      limit: 1000000000
      window: lifetime
      match: {{tools: [{PAY}]}}
      unreported: release
"""


def races_rego(folder: Path, units: int = 1_000) -> Path:
    """The shipped policies with one tenant more."""
    rego_dir = policy_copy(folder)
    (rego_dir / "config" / f"{TENANT}.yaml").write_text(POLICY % units)
    return rego_dir


def fresh(name: str) -> str:
    """A name that nobody used before."""
    return f"{name}_{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that is asked for, as often as need be, under one key."""

    tool: str
    workflow: str = ""
    run_id: str = ""
    agent: str = "racer"
    minor_units: int = 0
    approval_id: str = ""
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def to_bytes(self) -> bytes:
        """The request as it goes over the wire."""
        message = authorization_pb2.AuthorizeRequest(idempotency_key=self.key, approval_id=self.approval_id)
        message.action.tool = self.tool
        message.action.params_json = '{"vault":7}'
        if self.minor_units:
            message.action.amount.currency_code = "USD"
            message.action.amount.minor_units = self.minor_units
        message.identity.agent = self.agent
        message.identity.tenant = TENANT
        message.identity.user = "u_1"
        message.run.workflow = self.workflow
        message.run.run_id = self.run_id
        return message.SerializeToString()
