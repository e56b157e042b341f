"""What `placet doctor` asks a running Placet, an external OPA and the disk."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet import sdk
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.policy_texts import decides_text
from placet.engine.canary import ask_canary, tenants_fault
from placet.engine.client import OpaClient
from placet.engine.http import Address
from placet.kernel.model import Indeterminate
from placet.revisions.status import how_to_confirm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from placet.sdk.controls import PolicyStatus
    from placet.server.settings import Settings
    from placet.tenants.agent_policy import AgentPolicy

DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024
"""Some 50,000 decisions with their records; below it a busy server fills the disk before anybody comes."""
FILES_FREE_MIN: Final = 100
"""Files that can still be made: a bundle, its passing copy, keys, the log."""
CANARY_TIMEOUT_SECONDS: Final = 2.0
_MIB: Final = 1024 * 1024
_FULL: Final = ("disk is full", "No space left", "quota exceeded")
"""How SQLite, the system and PostgreSQL begin or end to say that there is no room."""
_LOST_END: Final = (": ends here, ", ": has lost the end mark ")
"""How `placet.policy.bundles.removals` says that a file was cut off; anything else was taken out of a whole file."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and whether it will do."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def passed(name: str, detail: str) -> Check:
    """It will do."""
    return Check(name, ok=True, detail=detail)


def failed(name: str, detail: str, remedy: str = "") -> Check:
    """It will not do."""
    return Check(name, ok=False, detail=detail, remedy=remedy)


def not_checked(name: str, failing: str) -> Check:
    """It cannot be told as long as another check fails."""
    return failed(name, f"not checked, because this fails: {failing}")


def disk_check(data_dir: Path) -> Check:
    """Whether there is room where the data directory is, or will be."""
    existing = next(each for each in (data_dir, *data_dir.absolute().parents) if each.exists())
    disk = os.statvfs(existing)
    free = disk.f_bavail * disk.f_frsize
    if free < DISK_FREE_BYTES_MIN:
        detail = f"{existing}: {free // _MIB} MiB left, of which Placet wants {DISK_FREE_BYTES_MIN // _MIB}"
        return failed("disk space", detail, "make room: on a full disk every call ends UNAVAILABLE")
    if disk.f_files and disk.f_favail < FILES_FREE_MIN:
        detail = f"{existing}: room for {disk.f_favail} more files, of which Placet wants {FILES_FREE_MIN}"
        return failed("disk space", detail, "remove files, or make a file system with more inodes")
    return passed("disk space", f"{existing}: {free // _MIB:,} MiB left")


def external_opa_check(settings: Settings, agent_policies: Mapping[str, AgentPolicy]) -> Check:
    """Whether the external OPA answers the canary, at the expected revision, with the tenants of `rego_dir`."""
    client = OpaClient(
        Address.parse(settings.opa_address),
        timeout_seconds=CANARY_TIMEOUT_SECONDS,
        expected_revision=settings.opa_required_revision,
        on_failure=lambda _rule_id, _cause: None,
    )

    async def ask() -> tuple[str, str]:
        verdict = await ask_canary(client, CANARY_TIMEOUT_SECONDS, settings.opa_required_revision)
        if isinstance(verdict, Indeterminate):
            return "", f"{verdict.rule_id}: {verdict.cause}"
        revision = verdict.policy_revision
        return revision, await tenants_fault(client, CANARY_TIMEOUT_SECONDS, agent_policies, revision)

    revision, fault = asyncio.run(ask())
    if fault:
        remedy = "start OPA there with the policy of rego_dir, or correct opa_address or opa_required_revision"
        return failed("opa", f"external, at {settings.opa_address}: {fault}", remedy)
    return passed("opa", f"external, at {settings.opa_address}: answers the canary at revision {revision}")


def server_checks(address: str) -> Iterator[Check]:
    """What the Placet at the address says of its health, policy and store. CallFailedError when none answers."""
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
            return failed("server", detail, "make room: on a full disk every call ends UNAVAILABLE")
        return passed("server", detail)
    reasons = "; ".join(status.not_serving_reasons) or status.last_error or "it does not say why"
    full = any(word in status.store_error for word in _FULL)
    remedy = "make room on the server's disk; then it decides again by itself" if full else "see the server's log"
    return failed("server", f"{address}: not ready: {reasons}", remedy)


def _held_remedy(status: PolicyStatus) -> str:
    confirm = f"confirm that it is meant: {how_to_confirm(status.held_revision)}"
    if not status.policy_revision:
        return f"put back the policy that was served last, or {confirm}"
    lost_end = any(mark in each for each in status.held_reasons for mark in _LOST_END)
    return f"{'mend the file that lost its end' if lost_end else 'put back what was lost'}, or {confirm}"


def _policy(status: PolicyStatus) -> Check:
    """Whether the newest policy is the one that decides."""
    served = f"revision {status.policy_revision} decides since {time_text(status.loaded_at)}"
    if status.held_revision:
        why = "; ".join(status.held_reasons)
        decides = f"{served}, {decides_text(status)}" if status.policy_revision else decides_text(status)
        detail = f"{decides}; revision {status.held_revision} waits since {time_text(status.held_since)}: {why}"
        return failed("served policy", detail, _held_remedy(status))
    if not status.last_error:
        return passed("served policy", served)
    why = "; ".join(status.last_error.splitlines())
    detail = (
        f"{served}, {decides_text(status)}; the newest is not served since {time_text(status.refused_since)}: {why}"
    )
    return failed("served policy", detail, "mend the policy; see `placet policy status`")
