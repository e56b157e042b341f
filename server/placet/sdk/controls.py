"""Controls of operators: kill switches, levels of autonomy, budgets, and the served policy. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from placet.sdk._deprecated import warn_renamed

if TYPE_CHECKING:
    from datetime import datetime

    from placet.sdk.decision import Autonomy


class KillScope(StrEnum):
    """What a kill switch stops."""

    GLOBAL = "global"
    """Every action."""
    TENANT = "tenant"
    """Every action of one tenant."""
    TOOL = "tool"
    """Tools by name. ``*`` matches any characters: ``stripe.*``."""
    AGENT = "agent"
    WORKFLOW = "workflow"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A requested change that takes effect when a second person requests the same."""

    id: str
    requested_by: str
    """The person who requested the change first."""
    reason: str
    expires_at: datetime | None
    """When the request expires."""


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """A kill switch that is set."""

    id: str
    scope: KillScope
    value: str
    """Name of the tool, agent, workflow or run. Empty for the scopes `GLOBAL` and `TENANT`."""
    tenant: str
    """Empty if the switch applies to every tenant."""
    reason: str
    actor: str
    """The person who set the switch."""
    set_at: datetime | None
    expires_at: datetime | None
    """None if the switch does not expire."""
    clearing: ControlRequest | None
    """The request to clear the switch, if it waits for a second person."""


@dataclass(frozen=True, slots=True)
class RevokedPermit:
    """An allowed action that a kill switch stops."""

    tenant: str
    decision_id: str
    """The decision that allowed the action."""
    tool: str
    agent: str
    run_id: str


@dataclass(frozen=True, slots=True)
class KillSwitchSet:
    """Result of setting a kill switch."""

    kill_switch: KillSwitch
    revoked: tuple[RevokedPermit, ...]
    """Permits that are revoked."""
    not_revoked: tuple[RevokedPermit, ...] = ()
    """Permits whose revocation could not be recorded. They are valid until they expire; set the switch again."""
    revocation_incomplete: bool = False
    """True if there can be valid permits that neither `revoked` nor `not_revoked` lists."""
    warnings: tuple[str, ...] = ()
    """Parts of the scope that match nothing known, with suggestions."""


@dataclass(frozen=True, slots=True)
class AutonomyRule:
    """A level of autonomy for the actions that match all of workflow, tool and agent."""

    workflow: str
    """Empty matches any workflow."""
    tool: str
    """Name of tools, in which ``*`` matches any characters. Empty matches any tool."""
    agent: str
    """Empty matches any agent."""
    level: Autonomy
    actor: str
    """The person who set the rule."""
    reason: str
    set_at: datetime | None


@dataclass(frozen=True, slots=True)
class AutonomySet:
    """Result of setting a level of autonomy."""

    rule: AutonomyRule | None
    """The rule that applies now, None if there is none."""
    pending_request: ControlRequest | None
    """The request that waits for a second person. None if the change is made."""
    warnings: tuple[str, ...] = ()
    """Parts of the rule that match nothing known, with suggestions."""

    @property
    def waiting(self) -> ControlRequest | None:
        """Deprecated name of `pending_request`."""
        warn_renamed(self, "waiting", "pending_request")
        return self.pending_request


@dataclass(frozen=True, slots=True)
class BudgetCounter:
    """Usage of a budget by one member of its scope in one window."""

    scope_key: str
    """The member of the scope, such as ``user:u_4812``."""
    window_key: str
    """The window, such as ``2026-11-21``."""
    unit: str
    """Unit of the numbers. Differs from the budget's unit if the policy changed that."""
    used: int
    reserved: int
    """Amount reserved for allowed calls whose outcome is not reported yet."""
    remaining: int
    """Negative if more than the limit was used."""
    resets_at: datetime | None
    """End of the window. None for windows that do not end by time: run and lifetime."""
    given_back: int = 0
    """Amount that outcomes of calls gave back. Counted only where give-backs are bounded."""
    kept: int = 0
    """Part of `used` that no call used: a bound limits what outcomes give back."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget, with its counters that have the most used."""

    id: str
    unit: str
    """``calls``, ``tokens``, ``cost`` (micros) or ``amount:USD`` (minor units)."""
    scope: str
    """What gets a separate counter: run, workflow, user, agent, tenant, tool or customer."""
    window: str
    """Period of a counter: run, minute, hour, day, month or lifetime."""
    timezone: str
    """Time zone of the window."""
    limit: int
    """Limit of each counter, in `unit`."""
    on_exceed: str
    """Decision about an action that exceeds the limit: deny, require_approval or draft_only."""
    counters: tuple[BudgetCounter, ...]
    current: bool
    """False if the served policy does not define the budget."""
    currency: str = ""
    """Currency of amounts and cost. Empty for calls and tokens."""


@dataclass(frozen=True, slots=True)
class BudgetAdjusted:
    """Result of adjusting a budget counter."""

    counter: BudgetCounter
    """The counter as it is now."""
    pending_request: ControlRequest | None
    """The request that waits for a second person. None if the change is made."""
    warnings: tuple[str, ...] = ()
    """Set if nothing was ever counted in the counter, with suggestions."""

    @property
    def waiting(self) -> ControlRequest | None:
        """Deprecated name of `pending_request`."""
        warn_renamed(self, "waiting", "pending_request")
        return self.pending_request


@dataclass(frozen=True, slots=True)
class SlowPack:
    """A rule pack that took most of the time for an input that policy evaluates slowly."""

    pack: str
    """Its package, such as ``policy.refunds``."""
    tool: str
    tenant: str
    milliseconds: float
    """Time that the pack took alone."""
    ended: bool
    """True if it ended within the time limit of a query. Otherwise `milliseconds` is that limit."""
    input_bytes: int


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """State of a server and of the policy that it serves."""

    ready: bool
    """True if the canary decision had the expected result at the served revision."""
    policy_revision: str
    """The revision that decides. Empty before the first load."""
    loaded_at: datetime | None
    confirmed_at: datetime | None
    """When the source of the policy was last read. What it had then is served, or was refused."""
    engine_mode: str
    """``managed`` if OPA is a child of the server, ``external`` if it runs separately."""
    engine_version: str
    engine_restarts: int
    tenants: tuple[str, ...]
    """Tenants with a policy file, sorted."""
    reloads_accepted: int
    """Accepted reloads since the start of the server."""
    reloads_refused: int
    """Refused reloads since the start of the server. The served revision stays."""
    last_error: str
    """Why the newest reload was refused, with the remedy. Empty if it was not."""
    last_error_at: datetime | None
    serving: bool
    """True if the server can decide, as the gRPC health service reports it."""
    not_serving_reasons: tuple[str, ...]
    refused_since: datetime | None
    """Since when the newest policy is refused. None if it is not."""
    unseen_since: datetime | None
    """Since when the source of the policy cannot be read. None if it can."""
    decides_until: datetime | None
    """When the server begins to deny each call with ``pdp.policy_stale``. None if the policy's source can be read."""
    stale: bool
    """True while the server denies each call with ``pdp.policy_stale``."""
    git_commit: str
    """Git commit of the policy folder. Empty if it is no repository."""
    store_error: str
    """Why the store accepts no commits. Empty if it does."""
    data_dir_free_bytes: int
    """Free bytes on the file system of the data directory."""
    held_revision: str
    """The newest policy, if it waits for `ControlClient.confirm_policy`. Else empty."""
    held_since: datetime | None
    held_reasons: tuple[str, ...]
    """Why it waits: the restrictions that it lost, each with its file, its age, and who must confirm it."""
    slow_packs: tuple[SlowPack, ...] = ()
    """Rule packs that took long for an input, each with its slowest input, the slowest first."""
    issuers_unreadable: tuple[str, ...] = ()
    """Issuers of JWTs whose keys cannot be read now, each with the cause and until when its last keys count."""
    pushed_by: str = ""
    """Who published the policy that decides now. Empty if it is not known."""
    held_pushed_by: str = ""
    """Who published the held policy. Empty if it is not known."""


@dataclass(frozen=True, slots=True)
class PolicyConfirmed:
    """Result of confirming a policy."""

    activated: bool
    """True if the confirmed policy decides now."""
    policy_revision: str
    """The revision that decides now."""
    last_error: str
    """Why the confirmed policy does not decide. Empty if it does."""
    pending_request: ControlRequest | None = None
    """The request that waits for a second person, if two must confirm the policy. None if it is confirmed."""
