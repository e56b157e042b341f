"""Who may report the outcome of a call: its own caller, an executor, or the holder of its permit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.identity.permissions import REPORTER_NOT_EXECUTOR
from placet.kernel.errors import NotFoundError, PermissionDeniedError
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from placet.actions.outcome import OutcomeReport
    from placet.kernel.errors import PlacetError


def refusal(report: OutcomeReport, caller: str, *, executors_only: bool) -> PlacetError | None:
    """Return why the report is refused; None if it is not. `caller` asked for the decision.

    `executors_only` is the setting of the tenant. A runtime receives the permits that it asks for, so they do not
    make it an executor. Where callers are not authenticated, only the permit tells callers apart.
    """
    if report.by_executor:
        return None
    is_own = caller == report.caller.name
    if not executors_only:
        return None if is_own else not_found(report)
    if report.holds_permit and not (is_own and report.caller.method):
        return None
    if not is_own:
        return not_found(report)
    remedy = "report with a tool_executor's credential" if report.caller.method else "send the permit of the decision"
    return PermissionDeniedError(
        REPORTER_NOT_EXECUTOR, f"the tenant's file has outcomes: executor, and the caller is none; {remedy}"
    )


def not_found(report: OutcomeReport) -> NotFoundError:
    """Return the error for a decision that does not exist, or not for this caller."""
    decision_id = redact_text(report.decision_id[:64])
    return NotFoundError(
        f"tenant {report.tenant} has no decision {decision_id!r} of this caller; see `placet audit decisions`"
    )
