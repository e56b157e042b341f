"""Sentences about the served policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.cli.rendering.documents import time_text
from placet.revisions.status import how_to_confirm

if TYPE_CHECKING:
    from placet.sdk.controls import PolicyStatus


def decides_text(status: PolicyStatus) -> str:
    """Say for how long the served revision decides while a newer one is not served."""
    if status.stale:
        return "too old: every call is denied pdp.policy_stale"
    if status.decides_until is not None:
        return f"until {time_text(status.decides_until)}, then every call is denied pdp.policy_stale"
    if status.held_revision:
        confirmed = f"until you run: {how_to_confirm(status.held_revision)}"
        return confirmed if status.policy_revision else f"nothing decides, every call is denied, {confirmed}"
    return "until a newer one is accepted"
