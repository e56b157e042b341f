"""What is known of the policy that is served, and what happens to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

_SECOND_US: Final = 1_000_000


class EngineMode(StrEnum):
    """Where OPA comes from."""

    MANAGED = "managed"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """The policy that is served. Times are wall-clock microseconds, 0 when it has not happened.

    `confirmed_at_us` is when its source was last seen: what stands there is served, or was refused and told.
    `last_error` is why the newest policy is not served, `refused_since_us` since when something is wrong with it, and
    `unseen_since_us` since when the source cannot be seen at all: only then does the served revision grow old.
    `decides_until_us` is when it will be too old to decide (0: it is not growing old), `stale` whether it is.
    `git_commit` is that of the folder when the served revision was loaded. `held_revision` is the newest policy when it
    waits for somebody to confirm it, `held_since_us` since when, `held_reasons` why.
    """

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
    refused_since_us: int = 0
    unseen_since_us: int = 0
    decides_until_us: int = 0
    stale: bool = False
    git_commit: str = ""
    held_revision: str = ""
    held_since_us: int = 0
    held_reasons: tuple[str, ...] = ()

    @property
    def newest(self) -> bool:
        """Whether the newest policy is the one that decides."""
        return not self.last_error and not self.held_revision

    def seen(self, now_us: int) -> PolicyStatus:
        """The source was seen: the served revision is not growing old."""
        return replace(self, confirmed_at_us=now_us, unseen_since_us=0)

    def sound(self) -> PolicyStatus:
        """Nothing is wrong with the newest policy."""
        mended = replace(self, last_error="", last_error_at_us=0, refused_since_us=0, unseen_since_us=0)
        return mended.released()

    @property
    def undecided(self) -> bool:
        """Whether nothing decides, because the only policy there is waits to be confirmed."""
        return bool(self.held_revision) and not self.revision

    def held(self, revision: str, reasons: tuple[str, ...], now_us: int) -> PolicyStatus:
        """The newest policy waits for somebody to confirm it, for these reasons."""
        since = self.held_since_us if revision == self.held_revision else now_us
        return replace(self.sound(), held_revision=revision, held_since_us=since, held_reasons=reasons)

    def released(self) -> PolicyStatus:
        """Nothing waits to be confirmed."""
        return replace(self, held_revision="", held_since_us=0, held_reasons=())

    def wrong(self, why: str, now_us: int) -> PolicyStatus:
        """The newest policy is not served, and why."""
        since = self.refused_since_us or now_us
        return replace(self.released(), last_error=why, last_error_at_us=now_us, refused_since_us=since)

    def unseen(self, now_us: int) -> PolicyStatus:
        """The source cannot be seen."""
        return replace(self, unseen_since_us=self.unseen_since_us or now_us)

    def aged(self, age_seconds: float, age_seconds_max: float, now_us: int) -> PolicyStatus:
        """With `stale` and `decides_until_us`, `age_seconds` after the source was last seen."""
        growing_old = self.unseen_since_us and math.isfinite(age_seconds_max)
        left = max(0.0, age_seconds_max - age_seconds) if growing_old else 0.0
        until = now_us + int(left * _SECOND_US) if growing_old else 0
        return replace(self, stale=too_old(age_seconds, age_seconds_max), decides_until_us=until)


def how_to_confirm(revision: str) -> str:
    """What somebody runs so that a policy that waits decides."""
    return f"placet policy confirm {revision} --reason TEXT"


def too_old(age_seconds: float, age_seconds_max: float) -> bool:
    """Whether a policy whose source was seen so long ago decides no longer."""
    return age_seconds > age_seconds_max


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """Whether decisions can be made: exactly what grpc.health.v1 and `placet_ready` say.

    `reasons` says why not, for people; `store_error` is the store's last failure, "" while it works.
    """

    serving: bool
    reasons: tuple[str, ...] = ()
    store_error: str = ""
    data_dir_free_bytes: int = 0


class PolicyEventKind(StrEnum):
    """What can happen to the policy."""

    ACTIVATED = "activated"
    REFUSED = "refused"
    READY = "ready"
    NOT_READY = "not_ready"
    ENGINE_RESTARTED = "engine_restarted"
    CACHE_REFUSED = "cache_refused"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class ServedSource:
    """The files that a policy was made of: their digest, and themselves in an archive; b"" where only it is known."""

    digest: str
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """Something that happened to the policy: the revision served after it; `detail` is for people.

    `decides_until_us` is when that revision will be too old to decide, 0 when it is not growing old. `source` are the
    files that decide from now on.
    """

    kind: PolicyEventKind
    revision: str = ""
    detail: str = ""
    engine_version: str = ""
    tenants: int = 0
    git_commit: str = ""
    decides_until_us: int = 0
    held_revision: str = ""
    source: ServedSource | None = None


def event_of(
    kind: PolicyEventKind, status: PolicyStatus, detail: str = "", source: ServedSource | None = None
) -> PolicyEvent:
    """The event, with what the status says."""
    return PolicyEvent(
        kind,
        status.revision,
        detail,
        status.engine_version,
        len(status.tenants),
        status.git_commit,
        status.decides_until_us,
        status.held_revision,
        source,
    )
