"""Build the policy source of a server: a managed OPA, or an external one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from placet.decision.ports import PolicySource
from placet.engine.client import OpaClient
from placet.engine.download import TrustedPool, bearer, releases_at
from placet.engine.external import CANARY_INTERVAL_SECONDS, ExternalPolicies
from placet.engine.external_releases import ExternalEngine, ExternalReleases
from placet.engine.http import Address
from placet.engine.managed import ManagedPolicies
from placet.engine.patience import Patience
from placet.engine.pinned_program import PinnedProgram
from placet.engine.policy_url import PolicyUrl, Published, loaded_elsewhere
from placet.engine.registry import RegistryAddress, RegistryReleases
from placet.engine.served_revision import Engine
from placet.engine.source import CONFIRM_INTERVAL_SECONDS, Source
from placet.matching.addresses import REGISTRY_SCHEMES
from placet.policy.bundles.removal_confirmation import RemovalConfirmation
from placet.policy.bundles.signatures import read_verification_keys
from placet.policy.files.tenant_files import load_agent_policies
from placet.policy.toolchain.binary import find_opa
from placet.revisions.memory import LedgerMemory
from placet.server.usable_cores import usable_cores

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from placet.kernel.clock import Clock
    from placet.revisions.status import PolicyEvent
    from placet.server.observer import ServerObserver
    from placet.server.settings.model import Settings

    Listener = Callable[[PolicyEvent], Awaitable[None]]

CHECKS_PER_MAX_AGE: Final = 3
"""Placet checks the policy's source at least this many times within max_policy_age_seconds."""


class RunningPolicies(PolicySource, Protocol):
    """A policy source that is started, runs in the background, and is closed at the end."""

    async def start(self) -> None:
        """Load the first policy. Raises PolicyInvalidError or ConfigurationError when it cannot be served."""
        ...

    async def run(self) -> None:
        """Follow the changes of the policy until cancelled."""
        ...

    async def check_now(self) -> None:
        """Look for a new policy now."""
        ...

    async def close(self) -> None:
        """Release what the source uses."""
        ...


def build_policies(
    settings: Settings, clock: Clock, observer: ServerObserver, listener: Listener | None = None
) -> ManagedPolicies | ExternalPolicies | ExternalReleases:
    """Return the policy source that the settings choose. It is not started yet.

    `listener` receives the events of a managed OPA; without it the observer does. Raises ConfigurationError when OPA is
    missing, and PolicyInvalidError when a tenant's file of an external OPA is invalid.
    """
    memory = LedgerMemory(observer.open_ledger, clock, settings.replica_id)
    observer.on_activated = memory.activated
    published = published_by(settings)
    if settings.opa_address and published is not None:
        return _external_releases(settings, clock, observer, memory, published)
    if settings.opa_address:
        return _external(settings, clock, observer)
    return _managed(settings, clock, observer, memory, published, listener or observer.policy_event)


def _external(settings: Settings, clock: Clock, observer: ServerObserver) -> ExternalPolicies:
    return ExternalPolicies(
        _client(settings, observer),
        load_agent_policies(settings.rego_dir),
        clock,
        observer.policy_event,
        settings.opa_timeout_ms / 1_000,
        _interval_seconds(settings, CANARY_INTERVAL_SECONDS),
        age_seconds_max(settings),
    )


def _external_releases(
    settings: Settings, clock: Clock, observer: ServerObserver, memory: LedgerMemory, published: Published
) -> ExternalReleases:
    engine = ExternalEngine(
        _client(settings, observer),
        settings.opa_timeout_ms / 1_000,
        _interval_seconds(settings, CANARY_INTERVAL_SECONDS),
        age_seconds_max(settings),
        observer.engine_failure,
    )

    async def no_cache(_path: Path) -> None:
        """Do nothing: nothing is built that is kept."""

    reader = PolicyUrl(published, _source(settings), loaded_elsewhere, no_cache)
    confirmation, root = _confirmation(settings, observer, memory), settings.policy_root
    return ExternalReleases(engine, reader, confirmation, root, clock, observer.policy_event, observer.error)


def _client(settings: Settings, observer: ServerObserver) -> OpaClient:
    timeout_seconds = settings.opa_timeout_ms / 1_000
    return OpaClient(
        Address.parse(settings.opa_address),
        timeout_seconds=timeout_seconds,
        expected_revision=settings.opa_required_revision,
        on_failure=observer.engine_failure,
        patience=Patience.within(timeout_seconds),
    )


def _managed(
    settings: Settings,
    clock: Clock,
    observer: ServerObserver,
    memory: LedgerMemory,
    published: Published | None,
    listener: Listener,
) -> ManagedPolicies:
    opa = find_opa(settings.opa_path)
    engine, confirmation = engine_of(settings, opa.path, observer), _confirmation(settings, observer, memory)
    source = _source(settings)
    return ManagedPolicies(source, engine, clock, listener, observer.error, opa.version, confirmation, published)


def _source(settings: Settings) -> Source:
    interval_seconds = _interval_seconds(settings, CONFIRM_INTERVAL_SECONDS)
    return Source(settings.policy_root, settings.bundles_dir, interval_seconds, age_seconds_max(settings))


def _confirmation(settings: Settings, observer: ServerObserver, memory: LedgerMemory) -> RemovalConfirmation:
    return RemovalConfirmation(
        memory,
        settings.bundles_dir,
        observer.error,
        enabled=settings.confirm_policy_removals,
        two_people=settings.policy_activation == "two_people",
    )


def published_by(settings: Settings) -> Published | None:
    """Return where the policy is published; None when it is read from a folder.

    Raises ConfigurationError when a key, a token or a CA cannot be read.
    """
    if not settings.policy_url:
        return None
    key = Path(settings.policy_verification_key) if settings.policy_verification_key else None
    token_file = Path(settings.policy_token_file) if settings.policy_token_file else None
    if key is not None:
        read_verification_keys(key)
    bearer(token_file)
    ca_file = Path(settings.policy_url_ca_file) if settings.policy_url_ca_file else None
    TrustedPool(ca_file).current()
    if urlsplit(settings.policy_url).scheme in REGISTRY_SCHEMES:
        address = RegistryAddress(settings.policy_url, settings.policy_registry_user, token_file, ca_file)
        return Published(settings.policy_url, RegistryReleases(address), key)
    return Published(settings.policy_url, releases_at(settings.policy_url, token_file, ca_file), key)


def engine_of(settings: Settings, opa: Path, observer: ServerObserver) -> Engine:
    """Return how to run the OPA program at the path."""
    timeout_seconds = settings.opa_timeout_ms / 1_000
    log, program = settings.data_dir / "opa.log", PinnedProgram(opa)
    return Engine(
        opa, log, timeout_seconds, observer.engine_failure, program, usable_cores(), on_slow_pack=observer.slow_pack
    )


def age_seconds_max(settings: Settings) -> float:
    """Return how old a policy may be that decides; infinity without a limit."""
    return settings.max_policy_age_seconds or math.inf


def _interval_seconds(settings: Settings, usual_seconds: float) -> float:
    """Return the usual interval of checks, or a shorter one where the policy becomes stale soon."""
    return min(usual_seconds, age_seconds_max(settings) / CHECKS_PER_MAX_AGE)
