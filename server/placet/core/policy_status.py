"""What is known of the policy that is served, and what happens to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EngineMode(StrEnum):
    """Where OPA comes from."""

    MANAGED = "managed"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """The policy that is served. Times are wall-clock microseconds, 0 when it has not happened."""

    ready: bool
    engine_mode: EngineMode
    revision: str = ""
    loaded_at_us: int = 0
    confirmed_at_us: int = 0
    engine_version: str = ""
    engine_restarts: int = 0
    tenants: tuple[str, ...] = ()
    reloads_accepted: int = 0
    reloads_refused: int = 0
    last_error: str = ""
    last_error_at_us: int = 0


class PolicyEventKind(StrEnum):
    """What can happen to the policy."""

    ACTIVATED = "activated"
    REFUSED = "refused"
    READY = "ready"
    NOT_READY = "not_ready"
    ENGINE_RESTARTED = "engine_restarted"
    CACHE_REFUSED = "cache_refused"


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """Something that happened to the policy: the revision served after it; `detail` is for people."""

    kind: PolicyEventKind
    revision: str = ""
    detail: str = ""
    engine_version: str = ""
    tenants: int = 0
