"""The table of who may call what: for each RPC the roles, and how its request names the tenant.

A method without a row cannot be called. The documentation's table is made from this one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from placet.identity.model import Role


class TenantUse(StrEnum):
    """How the requests of a method name a tenant."""

    REQUIRED = "required"
    """Each request names its tenant. A request that names none is invalid."""
    OPTIONAL = "optional"
    """A request that names no tenant is about every tenant, and needs a grant for every tenant."""
    EVERY = "every"
    """A request concerns every tenant, and needs a grant for every tenant."""
    NONE = "none"
    """Requests concern the server, and need the role in any tenant."""


class Access(Struct, frozen=True):
    """Who may call one method."""

    roles: frozenset[Role]
    tenant: TenantUse
    person: str = ""
    """Field of the request that names the person who calls; empty for none."""


def _row(*roles: Role, tenant: TenantUse = TenantUse.REQUIRED, person: str = "") -> Access:
    return Access(frozenset(roles), tenant, person)


_RUNTIME, _EXECUTOR, _APPROVER = Role.AGENT_RUNTIME, Role.TOOL_EXECUTOR, Role.APPROVER
_OPERATOR, _AUDITOR, _AUTHOR, _ADMIN = Role.OPERATOR, Role.AUDITOR, Role.POLICY_AUTHOR, Role.ADMIN
_ANY: Final = tuple(Role)
_OPTIONAL, _NONE = TenantUse.OPTIONAL, TenantUse.NONE

ACCESS: Final[dict[str, Access]] = {
    "AuthorizationService.Authorize": _row(_RUNTIME),
    "AuthorizationService.AuthorizeBatch": _row(_RUNTIME),
    "AuthorizationService.AuthorizeStream": _row(_RUNTIME),
    "AuthorizationService.ReportOutcome": _row(_RUNTIME, _EXECUTOR),
    "AuthorizationService.WatchDecision": _row(_RUNTIME, _EXECUTOR),
    "ApprovalService.ListApprovals": _row(_APPROVER, _OPERATOR, _AUDITOR, _ADMIN),
    "ApprovalService.GetApproval": _row(_APPROVER, _OPERATOR, _AUDITOR, _ADMIN, person="viewer"),
    "ApprovalService.ApproveAction": _row(_APPROVER, person="approver"),
    "ApprovalService.RejectAction": _row(_APPROVER, person="approver"),
    "ApprovalService.CancelApproval": _row(_APPROVER, person="actor"),
    "ApprovalService.VoidVotes": _row(_OPERATOR, _ADMIN, tenant=_OPTIONAL, person="actor"),
    "ApprovalService.WatchApprovals": _row(_APPROVER, _OPERATOR, _AUDITOR, _ADMIN),
    "AuditService.QueryDecisions": _row(_OPERATOR, _AUDITOR, _ADMIN),
    "AuditService.GetDecision": _row(_OPERATOR, _AUDITOR, _ADMIN),
    "AuditService.VerifyAudit": _row(_OPERATOR, _AUDITOR, _ADMIN, tenant=_NONE),
    "ControlService.GetPolicyStatus": _row(_OPERATOR, _AUDITOR, _AUTHOR, _ADMIN, tenant=_NONE),
    "ControlService.SetKillSwitch": _row(_OPERATOR, _ADMIN, tenant=_OPTIONAL, person="actor"),
    "ControlService.ClearKillSwitch": _row(_OPERATOR, _ADMIN, tenant=_OPTIONAL, person="actor"),
    "ControlService.ListKillSwitches": _row(_OPERATOR, _AUDITOR, _ADMIN, tenant=_OPTIONAL),
    "ControlService.SetAutonomy": _row(_OPERATOR, _ADMIN, person="actor"),
    "ControlService.ListAutonomyRules": _row(_OPERATOR, _AUDITOR, _ADMIN),
    "ControlService.ListAutonomy": _row(_OPERATOR, _AUDITOR, _ADMIN),
    "ControlService.ListAgents": _row(_OPERATOR, _AUDITOR, _ADMIN),
    "ControlService.ListBudgets": _row(_OPERATOR, _AUDITOR, _ADMIN),
    "ControlService.GetBudgets": _row(_OPERATOR, _AUDITOR, _ADMIN),
    "ControlService.AdjustBudget": _row(_OPERATOR, _ADMIN, person="actor"),
    "ControlService.ConfirmPolicy": _row(_OPERATOR, _AUTHOR, _ADMIN, tenant=TenantUse.EVERY, person="actor"),
    "ControlService.ListOutcomeExcesses": _row(_OPERATOR, _AUDITOR, _ADMIN),
    "ControlService.DecideOutcomeExcess": _row(_OPERATOR, _ADMIN, person="actor"),
    "TokenService.CreateToken": _row(_ADMIN, person="actor"),
    "TokenService.ListTokens": _row(_AUDITOR, _ADMIN, tenant=_OPTIONAL),
    "TokenService.RevokeToken": _row(_ADMIN, tenant=_OPTIONAL, person="actor"),
    "KeyService.ListKeys": _row(_OPERATOR, _AUDITOR, _ADMIN, tenant=_NONE),
    "KeyService.RotateKey": _row(_OPERATOR, _ADMIN, tenant=TenantUse.EVERY, person="actor"),
    "ControlService.GetPermitKeys": _row(*_ANY, tenant=_NONE),
}
"""``Service.Method`` -> who may call it."""

PUSH_BUNDLE: Final = _row(_AUTHOR, _ADMIN, tenant=TenantUse.EVERY)
"""Who may give a bundle server a policy: it holds the rules of every tenant."""
READ_BUNDLE: Final = _row(_OPERATOR, _AUDITOR, _AUTHOR, _ADMIN, tenant=_NONE)
"""Who may read a bundle with the own credential. Servers and OPAs have a token of the bundle server."""
