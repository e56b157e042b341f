"""What of the server's state a caller may see: all of it, or only what concerns the tenants of its grants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.identity.access import ACCESS
from placet.identity.model import EVERY_TENANT
from placet.identity.permissions import sees
from placet.revisions.pushed import UNKNOWN_PUSHER

if TYPE_CHECKING:
    from placet.audit.records import VerifyReport
    from placet.identity.model import Principal
    from placet.revisions.status import PolicyStatus, ServerHealth

HIDDEN: Final = "shown to callers with a grant for every tenant"
"""Takes the place of texts that may quote the files, names or ids of any tenant."""
_STATUS: Final = ACCESS["ControlService.GetPolicyStatus"]
_VERIFY: Final = ACCESS["AuditService.VerifyAudit"]


def visible_status(
    status: PolicyStatus, health: ServerHealth, principal: Principal | None
) -> tuple[PolicyStatus, ServerHealth]:
    """Return the status and health without other tenants' names, and without what their files say."""
    if sees(principal, _STATUS, EVERY_TENANT):
        return status, health
    shown = replace(
        status,
        tenants=tuple(tenant for tenant in status.tenants if _is_named(principal, tenant)),
        slow_packs=tuple(pack for pack in status.slow_packs if sees(principal, _STATUS, pack.tenant)),
        last_error=status.last_error and HIDDEN,
        held_reasons=status.held_reasons and (HIDDEN,),
        held_pusher=UNKNOWN_PUSHER,
        pusher=UNKNOWN_PUSHER,
    )
    issuers = health.issuers_unreadable and (HIDDEN,)
    return shown, replace(health, reasons=health.reasons and (HIDDEN,), issuers_unreadable=issuers)


def _is_named(principal: Principal | None, tenant: str) -> bool:
    """Return whether any grant of the caller covers the tenant, so that its name is no news to the caller."""
    return principal is None or any(grant.covers(tenant) for grant in principal.grants)


def visible_report(report: VerifyReport, principal: Principal | None) -> VerifyReport:
    """Return the report without the details of problems, which name tenants and their ids."""
    if sees(principal, _VERIFY, EVERY_TENANT):
        return report
    return replace(report, problems=tuple(replace(problem, detail=HIDDEN, state=None) for problem in report.problems))
