"""The tenant of the races, and the requests of its agents."""

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
"""A tool that is allowed."""
TAKE: Final = "vault.take"
"""A tool that uses one unit of the budget `units`, whose limit for each workflow is set by the test."""
PAY: Final = "vault.pay"
"""A tool that uses an amount of the budget `money` and a call of the budget `tries`. Their limits are never reached."""
WIRE: Final = "vault.wire"
"""A tool that requires the approval of one keeper."""
EMPTY: Final = "vault.empty"
"""A tool that requires the approval of two keepers."""
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
    """Return a copy of the shipped policies with the tenant of the races."""
    rego_dir = policy_copy(folder)
    (rego_dir / "config" / f"{TENANT}.yaml").write_text(POLICY % units)
    return rego_dir


def fresh(name: str) -> str:
    """Return a unique name."""
    return f"{name}_{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. Repeats of it have the same idempotency key."""

    tool: str
    workflow: str = ""
    run_id: str = ""
    agent: str = "racer"
    minor_units: int = 0
    approval_id: str = ""
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def to_bytes(self) -> bytes:
        """Return the serialized request."""
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
