"""Kill switches as JSON documents and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from placet.cli.rendering.documents import pending_document, time_text
from placet.cli.rendering.output import print_fields, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet import sdk

COLUMNS: Final = ("id", "stops", "tenant", "set_at", "expires_at", "actor", "reason", "clearing")
_SET_FIELDS: Final = ("id", "scope", "value", "tenant", "reason", "actor", "set_at", "expires_at")
"""Printed below the permits, so that a long list does not scroll them away."""
_PERMIT_TITLES: Final = {
    "revoked": "The switch revoked these permits. Their calls may be running:",
    "not revoked": "These permits could NOT be revoked. They are valid until they expire:",
}
_PERMITS_SHOWN: Final = 20
_PERMIT_COLUMNS: Final = ("tenant", "tool", "agent", "run_id")


def set_document(result: sdk.KillSwitchSet) -> dict[str, Any]:
    """Return a kill switch that was set, and the permits that it revoked."""
    return {
        "kill_switch": switch_document(result.kill_switch),
        "revoked": [_permit_document(permit) for permit in result.revoked],
        "not_revoked": [_permit_document(permit) for permit in result.not_revoked],
        "revocation_incomplete": result.revocation_incomplete,
        "warnings": list(result.warnings),
    }


def print_set(result: sdk.KillSwitchSet, address: str) -> None:
    """Print the permits that a kill switch revoked, then the switch and the server on which it is set."""
    for state, permits in (("revoked", result.revoked), ("not revoked", result.not_revoked)):
        if permits:
            _print_permits(state, permits)
    document = switch_document(result.kill_switch)
    print_fields([*((name, document[name]) for name in _SET_FIELDS), ("server", address)])


def _print_permits(state: str, permits: Sequence[sdk.RevokedPermit]) -> None:
    typer.echo(_PERMIT_TITLES[state])
    shown = permits[:_PERMITS_SHOWN]
    rows = [(permit.decision_id, permit.tenant, permit.tool, permit.agent, permit.run_id) for permit in shown]
    print_table((state, *_PERMIT_COLUMNS), rows)
    if more := len(permits) - len(shown):
        typer.echo(f"and {more:,} more; --output json lists all")
    typer.echo()


def switch_document(switch: sdk.KillSwitch) -> dict[str, Any]:
    """Return a kill switch with all its fields."""
    return {
        "id": switch.id,
        "scope": switch.scope.value,
        "value": switch.value,
        "tenant": switch.tenant,
        "set_at": time_text(switch.set_at),
        "expires_at": time_text(switch.expires_at),
        "actor": switch.actor,
        "reason": switch.reason,
        "clearing": pending_document(switch.clearing),
    }


def _permit_document(permit: sdk.RevokedPermit) -> dict[str, str]:
    return {
        "decision_id": permit.decision_id,
        "tenant": permit.tenant,
        "tool": permit.tool,
        "agent": permit.agent,
        "run_id": permit.run_id,
    }


def switch_row(switch: sdk.KillSwitch) -> tuple[str, ...]:
    """Return the row of a kill switch in a list."""
    return (
        switch.id,
        f"{switch.scope} {switch.value}".strip(),
        switch.tenant,
        time_text(switch.set_at),
        time_text(switch.expires_at),
        switch.actor,
        switch.reason,
        f"requested by {switch.clearing.requested_by}" if switch.clearing is not None else "",
    )
