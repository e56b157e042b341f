"""A bounded queue that is shared fairly between tenants, and between the callers of one tenant.

Turns are taken by deficit round robin (Shreedhar and Varghese, 1995): in each round everybody who waits earns
QUEUE_TURN_ACTIONS, and may go on once that covers the next group. Within one caller the order stays. When the queue is
full, a tenant that holds more than its share gives way, the newest first; so a flood turns itself away.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from placet.core.limits import QUEUE_TURN_ACTIONS

Entry = TypeVar("Entry")


class Flow(NamedTuple):
    """Whose calls share turns and room: one caller of a tenant."""

    tenant: str = ""
    caller: str = ""


@dataclass(slots=True, eq=False)
class Group(Generic[Entry]):
    """Actions that stay together, in the queue."""

    flow: Flow
    size: int
    entry: Entry


@dataclass(slots=True)
class _Caller(Generic[Entry]):
    """What one caller waits for, in order."""

    groups: deque[Group[Entry]] = field(default_factory=deque)
    size: int = 0
    earned: int = 0


@dataclass(slots=True)
class _Tenant(Generic[Entry]):
    """The callers of a tenant that wait; the one whose turn it is stands first."""

    callers: dict[str, _Caller[Entry]] = field(default_factory=dict)
    size: int = 0
    earned: int = 0

    def head(self) -> Group[Entry]:
        """The group whose turn it is."""
        while True:
            name, caller = next(iter(self.callers.items()))
            if caller.groups[0].size <= caller.earned:
                return caller.groups[0]
            caller.earned += QUEUE_TURN_ACTIONS
            self.callers[name] = self.callers.pop(name)


class FairQueue(Generic[Entry]):
    """Holds at most `depth_max` actions, or one group that is larger."""

    def __init__(self, depth_max: int) -> None:
        self._depth_max = depth_max
        self._tenants: dict[str, _Tenant[Entry]] = {}
        self._depth = 0

    def __bool__(self) -> bool:
        return bool(self._tenants)

    @property
    def depth(self) -> int:
        """Actions that wait."""
        return self._depth

    def put(self, group: Group[Entry]) -> list[Group[Entry]] | None:
        """Let the group wait. Returns those that gave way to it; None when there is no room, and it does not wait."""
        gone: list[Group[Entry]] = []
        own = self._tenants.get(group.flow.tenant)
        if self._overfull(group.size):
            share = self._depth_max // (len(self._tenants) + (own is None))
            if (own.size if own is not None else 0) + group.size <= share:
                while self._overfull(group.size):
                    gone.append(self._turn_away(max(self._tenants.values(), key=lambda tenant: tenant.size)))
            elif own is not None and _within_share(own, group):
                while self._overfull(group.size):
                    gone.append(self._turn_away(own))
            else:
                return None
        tenant = self._tenants.setdefault(group.flow.tenant, _Tenant())
        caller = tenant.callers.setdefault(group.flow.caller, _Caller())
        caller.groups.append(group)
        caller.size += group.size
        tenant.size += group.size
        self._depth += group.size
        return gone

    def remove(self, group: Group[Entry]) -> bool:
        """Let the group wait no longer; whether it did."""
        tenant = self._tenants.get(group.flow.tenant)
        caller = tenant.callers.get(group.flow.caller) if tenant is not None else None
        if tenant is None or caller is None or group not in caller.groups:
            return False
        caller.groups.remove(group)
        caller.size -= group.size
        tenant.size -= group.size
        self._depth -= group.size
        if not caller.groups:
            del tenant.callers[group.flow.caller]
        if not tenant.callers:
            del self._tenants[group.flow.tenant]
        return True

    def take(self, size_max: int) -> list[Group[Entry]]:
        """The groups whose turn it is: at least one, and beyond one at most `size_max` actions.

        A group that costs more than a turn does not join those that go now: they would wait for it. It goes as soon as
        it has earned its size, at once when nobody else waits.
        """
        batch: list[Group[Entry]] = []
        room = size_max
        while self._tenants:
            before = len(batch)
            for name in list(self._tenants):
                tenant = self._tenants[name]
                tenant.earned += QUEUE_TURN_ACTIONS
                while tenant.callers and (head := tenant.head()).size <= tenant.earned:
                    if batch and head.size > room:
                        tenant.earned -= QUEUE_TURN_ACTIONS  # its turn is not over
                        return batch
                    tenant.earned -= head.size
                    tenant.callers[head.flow.caller].earned -= head.size
                    self.remove(head)
                    batch.append(head)
                    room -= head.size
                if tenant.callers:
                    self._tenants[name] = self._tenants.pop(name)
            if batch and len(batch) == before:
                break
        return batch

    def _overfull(self, size: int) -> bool:
        """Whether a group of that size is too much for what waits; none is when nothing waits."""
        return bool(self._tenants) and self._depth + size > self._depth_max

    def _turn_away(self, tenant: _Tenant[Entry]) -> Group[Entry]:
        """The newest group of the caller that holds most of the tenant's part; it waits no longer."""
        group = max(tenant.callers.values(), key=lambda caller: caller.size).groups[-1]
        self.remove(group)
        return group


def _within_share(tenant: _Tenant[Entry], group: Group[Entry]) -> bool:
    """Whether the caller would hold no more than others of the tenant, which is given no more than it has."""
    caller = tenant.callers.get(group.flow.caller)
    share = tenant.size // (len(tenant.callers) + (caller is None))
    return (caller.size if caller is not None else 0) + group.size <= share
