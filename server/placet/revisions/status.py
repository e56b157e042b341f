"""The status of the served policy, and the events of policy sources."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from placet.revisions.pushed import UNKNOWN_PUSHER, Pusher

_SECOND_US: Final = 1_000_000


class EngineMode(StrEnum):
    """Who runs OPA: Placet as a child process, or the operator."""

    MANAGED = "managed"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class SlowPack:
    """A rule pack that took most of the time for an input that was slow."""

    pack: str
    """Its package, such as ``policy.refunds``."""
    tool: str
    tenant: str
    """The tool and the tenant of the input."""
    seconds: float
    """The time that the pack took alone."""
    ended: bool
    """Whether it ended within the time limit of a query. Otherwise `seconds` is that limit."""
    input_bytes: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a policy must be confirmed; no reasons when it may decide."""

    reasons: tuple[str, ...] = ()
    confirmed_as: str = ""
    """The name under which its confirmation is stored; "" for the revision."""
    pusher: Pusher = UNKNOWN_PUSHER
    needs_people: bool = False
    """Whether two people must agree: who published it and another one, or two who confirm it."""


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """The status of the served policy. Times are wall-clock microseconds; 0 means never."""

    ready: bool
    engine_mode: EngineMode
    revision: str = ""
    """The served revision; "" before the first one is loaded."""
    loaded_at_us: int = 0
    confirmed_at_us: int = 0
    """When the source was last seen. The policy seen then is served, or was refused and reported."""
    engine_version: str = ""
    engine_restarts: int = 0
    tenants: tuple[str, ...] = ()
    reloads_accepted: int = 0
    reloads_refused: int = 0
    last_error: str = ""
    """Why the newest policy is not served; "" when it is."""
    last_error_at_us: int = 0
    refused_since_us: int = 0
    """Since when the newest policy has not been served because of an error."""
    unseen_since_us: int = 0
    """Since when the source has been unreadable. Only then the served revision ages."""
    decides_until_us: int = 0
    """When the served revision becomes stale; 0 when it does not age."""
    stale: bool = False
    """Whether the served revision is too old to decide by."""
    git_commit: str = ""
    """The git commit of the policy folder when the served revision was loaded."""
    held_revision: str = ""
    """The newest policy, when it waits for a person to confirm it."""
    held_as: str = ""
    """The name under which a confirmation of the held policy is stored, see `placet.revisions.memory`."""
    held_since_us: int = 0
    held_reasons: tuple[str, ...] = ()
    held_pusher: Pusher = UNKNOWN_PUSHER
    """Who published the held policy."""
    held_needs_people: bool = False
    """Whether a confirmation of the held policy needs two people, of whom one may have published it."""
    pusher: Pusher = UNKNOWN_PUSHER
    """Who published the served revision."""
    slow_packs: tuple[SlowPack, ...] = ()
    """Packs of the served revision that were slow, each with its slowest input, the slowest first."""

    @property
    def serves_newest(self) -> bool:
        """Whether the newest policy is the one that is served."""
        return not self.last_error and not self.held_revision

    def with_source_seen(self, now_us: int) -> PolicyStatus:
        """Return the status after the source was seen: the served revision does not age."""
        return replace(self, confirmed_at_us=now_us, unseen_since_us=0)

    def without_problems(self) -> PolicyStatus:
        """Return the status without errors and without a held policy."""
        cleared = replace(self, last_error="", last_error_at_us=0, refused_since_us=0, unseen_since_us=0)
        return cleared.without_held()

    @property
    def only_policy_is_held(self) -> bool:
        """Whether no policy is served because the only one waits for confirmation."""
        return bool(self.held_revision) and not self.revision

    def with_held(self, revision: str, hold: Hold, now_us: int) -> PolicyStatus:
        """Return the status with the newest policy held until a person confirms it."""
        since = self.held_since_us if revision == self.held_revision else now_us
        return replace(
            self.without_problems(),
            held_revision=revision,
            held_as=hold.confirmed_as or revision,
            held_since_us=since,
            held_reasons=hold.reasons,
            held_pusher=hold.pusher,
            held_needs_people=hold.needs_people,
        )

    def without_held(self) -> PolicyStatus:
        """Return the status without a held policy."""
        none = replace(self, held_revision="", held_as="", held_since_us=0, held_reasons=())
        return replace(none, held_pusher=UNKNOWN_PUSHER, held_needs_people=False)

    def with_error(self, why: str, now_us: int) -> PolicyStatus:
        """Return the status after the newest policy was refused. `why` says what is wrong with it."""
        since = self.refused_since_us or now_us
        return replace(self.without_held(), last_error=why, last_error_at_us=now_us, refused_since_us=since)

    def with_source_unseen(self, now_us: int) -> PolicyStatus:
        """Return the status after the source could not be read."""
        return replace(self, unseen_since_us=self.unseen_since_us or now_us)

    def at_age(self, age_seconds: float, age_seconds_max: float, now_us: int) -> PolicyStatus:
        """Return the status with `stale` and `decides_until_us`, `age_seconds` after the source was last seen."""
        ages = self.unseen_since_us and math.isfinite(age_seconds_max)
        left = max(0.0, age_seconds_max - age_seconds) if ages else 0.0
        until = now_us + int(left * _SECOND_US) if ages else 0
        return replace(self, stale=too_old(age_seconds, age_seconds_max), decides_until_us=until)


def how_to_confirm(revision: str) -> str:
    """Return the command that confirms a held policy."""
    return f"placet policy confirm {revision} --reason TEXT"


def too_old(age_seconds: float, age_seconds_max: float) -> bool:
    """Return whether a policy is stale when its source was last seen `age_seconds` ago."""
    return age_seconds > age_seconds_max


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """Whether the server can decide. grpc.health.v1 and `placet_ready` say the same."""

    serving: bool
    reasons: tuple[str, ...] = ()
    """Why it cannot decide, for people."""
    store_error: str = ""
    """The last failure of the store; "" while it works."""
    data_dir_free_bytes: int = 0
    issuers_unreadable: tuple[str, ...] = ()
    """Issuers of JWTs whose keys cannot be read, each with the cause and until when its last keys count."""


class PolicyEventKind(StrEnum):
    """The kinds of policy events."""

    ACTIVATED = "activated"
    REFUSED = "refused"
    READY = "ready"
    NOT_READY = "not_ready"
    ENGINE_RESTARTED = "engine_restarted"
    CACHE_REFUSED = "cache_refused"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class ServedSource:
    """The files of a served policy."""

    digest: str
    content: bytes = b""
    """The files in an archive; b"" when only the digest is known."""
    created_at_us: int = 0
    """When the policy was released, in wall-clock microseconds; 0 for one that was read from a folder."""


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """An event of a policy source, with the status after it."""

    kind: PolicyEventKind
    revision: str = ""
    """The revision that is served after the event."""
    detail: str = ""
    """A sentence for people."""
    engine_version: str = ""
    tenants: int = 0
    """The number of tenants."""
    git_commit: str = ""
    decides_until_us: int = 0
    """When the served revision becomes stale; 0 when it does not age."""
    held_revision: str = ""
    source: ServedSource | None = None
    """The files that are served from now on."""
    pusher: Pusher = UNKNOWN_PUSHER
    """Who published the revision that is served or held."""


def event_of(
    kind: PolicyEventKind, status: PolicyStatus, detail: str = "", source: ServedSource | None = None
) -> PolicyEvent:
    """Return an event with the fields of the status."""
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
        status.held_pusher if kind is PolicyEventKind.HELD else status.pusher,
    )
