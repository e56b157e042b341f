"""Build the policy source of a server: a managed OPA, or an external one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from placet.engine.client import OpaClient
from placet.engine.external import CANARY_INTERVAL_SECONDS, ExternalPolicies
from placet.engine.http import Address
from placet.engine.managed import ManagedPolicies
from placet.engine.patience import Patience
from placet.engine.pinned_program import PinnedProgram
from placet.engine.served_revision import Engine
from placet.engine.source import CONFIRM_INTERVAL_SECONDS, Source
from placet.policy.bundles.removal_confirmation import RemovalConfirmation
from placet.policy.files.tenant_files import load_agent_policies
from placet.policy.toolchain.binary import find_opa
from placet.revisions.memory import LedgerMemory

if TYPE_CHECKING:
    from placet.kernel.clock import Clock
    from placet.server.observer import ServerObserver
    from placet.server.settings import Settings

CHECKS_PER_MAX_AGE: Final = 3
"""Placet checks the policy's source at least this many times within max_policy_age_seconds."""


def build_policies(settings: Settings, clock: Clock, observer: ServerObserver) -> ManagedPolicies | ExternalPolicies:
    """Return the policy source that the settings choose. It is not started yet.

    Raises ConfigurationError when OPA is missing, and PolicyInvalidError when a tenant's file of an external OPA is
    invalid.
    """
    memory = LedgerMemory(observer.open_ledger, clock, settings.replica_id)
    observer.on_activated = memory.activated
    if settings.opa_address:
        return _external(settings, clock, observer)
    return _managed(settings, clock, observer, memory)


def _external(settings: Settings, clock: Clock, observer: ServerObserver) -> ExternalPolicies:
    timeout_seconds, age_max_seconds = settings.opa_timeout_ms / 1_000, _age_max_seconds(settings)
    client = OpaClient(
        Address.parse(settings.opa_address),
        timeout_seconds=timeout_seconds,
        expected_revision=settings.opa_required_revision,
        on_failure=observer.engine_failure,
        patience=Patience.within(timeout_seconds),
    )
    interval_seconds = min(CANARY_INTERVAL_SECONDS, age_max_seconds / CHECKS_PER_MAX_AGE)
    return ExternalPolicies(
        client,
        load_agent_policies(settings.rego_dir),
        clock,
        observer.policy_event,
        timeout_seconds,
        interval_seconds,
        age_max_seconds,
    )


def _managed(settings: Settings, clock: Clock, observer: ServerObserver, memory: LedgerMemory) -> ManagedPolicies:
    opa, age_max_seconds = find_opa(settings.opa_path), _age_max_seconds(settings)
    engine = Engine(
        opa.path,
        settings.data_dir / "opa.log",
        settings.opa_timeout_ms / 1_000,
        observer.engine_failure,
        PinnedProgram(opa.path),
        observer.slow_pack,
    )
    interval_seconds = min(CONFIRM_INTERVAL_SECONDS, age_max_seconds / CHECKS_PER_MAX_AGE)
    source = Source(settings.rego_dir, settings.bundles_dir, interval_seconds, age_max_seconds)
    confirmation = RemovalConfirmation(
        memory, settings.bundles_dir, observer.error, enabled=settings.confirm_policy_removals
    )
    return ManagedPolicies(source, engine, clock, observer.policy_event, observer.error, opa.version, confirmation)


def _age_max_seconds(settings: Settings) -> float:
    return settings.max_policy_age_seconds or math.inf
