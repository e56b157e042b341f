"""Checks of a running server, an external OPA and the disk."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from placet import sdk
from placet.cli.doctor.check import Check, failed, passed
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.policy_texts import decides_text
from placet.engine.canary import ask_canary, tenants_error
from placet.engine.client import OpaClient
from placet.engine.http import Address
from placet.kernel.model import Indeterminate
from placet.revisions.status import how_to_confirm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from placet.sdk.controls import PolicyStatus
    from placet.server.settings.model import Settings
    from placet.tenants.policy import TenantPolicy

DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024
"""Room for about 50,000 decisions with their records, so that an operator has time to react."""
FILES_FREE_MIN: Final = 100
"""Enough for a bundle and its temporary copy, keys and the log."""
CANARY_TIMEOUT_SECONDS: Final = 2.0
_MIB: Final = 1024 * 1024
_FULL: Final = ("disk is full", "No space left", "quota exceeded")
"""Parts of the error messages of SQLite, the operating system and PostgreSQL for a full disk."""
_TRUNCATED: Final = (": ends here, ", ": has lost the end mark ")
"""Parts of the messages of `placet.policy.bundles.removals` for a truncated file."""


def disk_check(data_dir: Path) -> Check:
    """Check that the disk of the data directory has room."""
    existing = next(path for path in (data_dir, *data_dir.absolute().parents) if path.exists())
    disk = os.statvfs(existing)
    free = disk.f_bavail * disk.f_frsize
    if free < DISK_FREE_BYTES_MIN:
        detail = f"{existing}: {free // _MIB} MiB left; Placet needs {DISK_FREE_BYTES_MIN // _MIB} MiB"
        return failed("disk space", detail, "free disk space: on a full disk every call fails with UNAVAILABLE")
    if disk.f_files and disk.f_favail < FILES_FREE_MIN:
        detail = f"{existing}: room for {disk.f_favail} more files; Placet needs {FILES_FREE_MIN}"
        return failed("disk space", detail, "remove files, or use a file system with more inodes")
    return passed("disk space", f"{existing}: {free // _MIB:,} MiB left")


def external_opa_check(settings: Settings, agent_policies: Mapping[str, TenantPolicy], expected_revision: str) -> Check:
    """Check that the external OPA answers the canary at the expected revision and knows the tenants.

    An empty `expected_revision` accepts any.
    """
    client = OpaClient(
        Address.parse(settings.opa_address),
        timeout_seconds=CANARY_TIMEOUT_SECONDS,
        expected_revision=expected_revision,
        on_failure=lambda _rule_id, _cause: None,
    )

    async def ask() -> tuple[str, str]:
        verdict = await ask_canary(client, CANARY_TIMEOUT_SECONDS, expected_revision)
        if isinstance(verdict, Indeterminate):
            return "", f"{verdict.rule_id}: {verdict.cause}"
        revision = verdict.policy_revision
        return revision, await tenants_error(client, CANARY_TIMEOUT_SECONDS, agent_policies, revision)

    revision, problem = asyncio.run(ask())
    if problem:
        remedy = (
            "let OPA pull the bundle of policy_url, or correct opa_address"
            if settings.policy_url
            else "start OPA with the policy of rego_dir, or correct opa_address or opa_required_revision"
        )
        return failed("opa", f"external, at {settings.opa_address}: {problem}", remedy)
    return passed("opa", f"external, at {settings.opa_address}: answers the canary at revision {revision}")


def server_checks(address: str) -> Iterator[Check]:
    """Check the health, the policy and the store of a running server. CallFailedError when none answers."""
    with sdk.ControlClient(address) as client:
        status = client.policy_status()
    yield _health(address, status)
    if status.policy_revision:
        yield _policy(status)


def _health(address: str, status: PolicyStatus) -> Check:
    if status.serving:
        free = status.data_dir_free_bytes
        room = f", {free // _MIB:,} MiB left for its data" if free else ""
        detail = f"{address}: ready, policy {status.policy_revision}{room}"
        if 0 < free < DISK_FREE_BYTES_MIN:
            return failed("server", detail, "free disk space: on a full disk every call fails with UNAVAILABLE")
        return passed("server", detail)
    reasons = "; ".join(status.not_serving_reasons) or status.last_error or "no reason"
    full = any(word in status.store_error for word in _FULL)
    remedy = "free disk space on the server; then it decides again" if full else "see the server's log"
    return failed("server", f"{address}: not ready: {reasons}", remedy)


def _held_remedy(status: PolicyStatus) -> str:
    confirm = f"confirm the change: {how_to_confirm(status.held_revision)}"
    if not status.policy_revision:
        return f"restore the policy that was served last, or {confirm}"
    truncated = any(mark in reason for reason in status.held_reasons for mark in _TRUNCATED)
    return f"{'restore the truncated file' if truncated else 'restore what was removed'}, or {confirm}"


def _policy(status: PolicyStatus) -> Check:
    """Check that the server serves the newest policy."""
    served = f"revision {status.policy_revision} decides since {time_text(status.loaded_at)}"
    if status.held_revision:
        reasons = "; ".join(status.held_reasons)
        decides = f"{served}, {decides_text(status)}" if status.policy_revision else decides_text(status)
        detail = f"{decides}; revision {status.held_revision} is held since {time_text(status.held_since)}: {reasons}"
        return failed("served policy", detail, _held_remedy(status))
    if not status.last_error:
        slow = ", ".join(pack.pack for pack in status.slow_packs)
        return passed("served policy", f"{served}; slow: {slow}, see `placet policy status`" if slow else served)
    reasons = "; ".join(status.last_error.splitlines())
    refused = f"the newest policy is not served since {time_text(status.refused_since)}: {reasons}"
    detail = f"{served}, {decides_text(status)}; {refused}"
    return failed("served policy", detail, "correct the policy; see `placet policy status`")
