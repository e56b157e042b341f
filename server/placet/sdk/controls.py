"""What operators set and see: kill switches, autonomy, budgets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from placet.sdk.decision import Autonomy


class KillScope(StrEnum):
    """What a kill switch stops."""

    GLOBAL = "global"
    TENANT = "tenant"
    TOOL = "tool"
    AGENT = "agent"
    WORKFLOW = "workflow"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A change that waits until another person asks for the same."""

    id: str
    requested_by: str
    reason: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """A kill switch that is set. `tenant` "" reaches into every tenant; `expires_at` None is never.

    `clearing` is set when one person asked to clear it and a second one has to.
    """

    id: str
    scope: KillScope
    value: str
    tenant: str
    reason: str
    actor: str
    set_at: datetime | None
    expires_at: datetime | None
    clearing: ControlRequest | None


@dataclass(frozen=True, slots=True)
class RevokedPermit:
    """An allow that a kill switch covers and whose permit is void now."""

    tenant: str
    decision_id: str
    tool: str
    agent: str
    run_id: str


@dataclass(frozen=True, slots=True)
class KillSwitchSet:
    """The switch as it is set, and what it revoked.

    `not_revoked` are permits whose revocation could not be recorded; with `revocation_incomplete` there may be more.
    They are valid until they expire: set the switch again to revoke them. `warnings` name what matches nothing known.
    """

    kill_switch: KillSwitch
    revoked: tuple[RevokedPermit, ...]
    not_revoked: tuple[RevokedPermit, ...] = ()
    revocation_incomplete: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AutonomyRule:
    """A level for the actions of a workflow, tool (with ``*``) and agent; "" for any."""

    workflow: str
    tool: str
    agent: str
    level: Autonomy
    actor: str
    reason: str
    set_at: datetime | None


@dataclass(frozen=True, slots=True)
class AutonomySet:
    """The rule as it is now, None when there is none; with `waiting` nothing was changed yet."""

    rule: AutonomyRule | None
    waiting: ControlRequest | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BudgetCounter:
    """What one member of a budget's scope spent and holds in one window, in `unit`.

    `remaining` is negative when more was spent than the limit. `resets_at` None is for windows that no clock ends.
    """

    scope_key: str
    window_key: str
    unit: str
    used: int
    reserved: int
    remaining: int
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget with its largest counters. Not `current`: no policy has it any longer.

    `currency` is that of amounts and cost, "" for what is no money.
    """

    id: str
    unit: str
    scope: str
    window: str
    timezone: str
    limit: int
    on_exceed: str
    counters: tuple[BudgetCounter, ...]
    current: bool
    currency: str = ""


@dataclass(frozen=True, slots=True)
class BudgetAdjusted:
    """The counter as it is now; with `waiting` nothing was changed yet."""

    counter: BudgetCounter
    waiting: ControlRequest | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """Which policy is served, by which engine, and why a newer one was refused.

    `serving` is what gRPC health says, `not_serving_reasons` why not. `refused_since` is since when something is wrong
    with the newest policy, `unseen_since` since when its source cannot be seen; only then the served one grows old, and
    `decides_until` says when every call will be denied with ``pdp.policy_stale``. `stale` says that it is so.
    `held_revision` waits for `confirm_policy`, for the `held_reasons`.
    """

    ready: bool
    policy_revision: str
    loaded_at: datetime | None
    confirmed_at: datetime | None
    engine_mode: str
    engine_version: str
    engine_restarts: int
    tenants: tuple[str, ...]
    reloads_accepted: int
    reloads_refused: int
    last_error: str
    last_error_at: datetime | None
    serving: bool
    not_serving_reasons: tuple[str, ...]
    refused_since: datetime | None
    unseen_since: datetime | None
    decides_until: datetime | None
    stale: bool
    git_commit: str
    store_error: str
    data_dir_free_bytes: int
    held_revision: str
    held_since: datetime | None
    held_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyConfirmed:
    """What became of a policy that was confirmed: whether it decides, which one does, and why it does not."""

    activated: bool
    policy_revision: str
    last_error: str
