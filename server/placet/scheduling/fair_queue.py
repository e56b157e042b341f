"""A bounded queue that is shared fairly between tenants, and between the callers of one tenant.

Turns are taken by deficit round robin (Shreedhar and Varghese, 1995): in each round everybody who waits earns
QUEUE_TURN_BYTES, and may go on once that covers the cost of the next group. An action costs its bytes, but at least a
QUEUE_TURN_ACTIONS-th of a turn. Within one caller the order stays. When the queue is full, a tenant that holds more
than its share gives way, the newest first; so a flood turns itself away.

A group that is worked on in pieces costs one turn for each piece. Between two of them its tenant and its caller stand
last, so that everybody else who waits goes first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from placet.kernel.limits import PIPELINE_BYTES_MAX, QUEUE_TURN_ACTIONS, QUEUE_TURN_BYTES

Entry = TypeVar("Entry")
ACTION_COST_MIN: Final = QUEUE_TURN_BYTES // QUEUE_TURN_ACTIONS
"""In bytes: what the smallest action costs."""


class Flow(NamedTuple):
    """Whose calls share turns and room: one caller of a tenant."""

    tenant: str = ""
    caller: str = ""


@dataclass(slots=True, eq=False)
class Group(Generic[Entry]):
    """Actions that stay together, in the queue. With `in_pieces` they go alone, and may come back for more turns."""

    flow: Flow
    size: int
    entry: Entry
    bytes: int = 0
    in_pieces: bool = False

    @property
    def cost(self) -> int:
        """What its turn must cover."""
        return QUEUE_TURN_BYTES if self.in_pieces else max(self.size * ACTION_COST_MIN, self.bytes)


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
            if caller.groups[0].cost <= caller.earned:
                return caller.groups[0]
            caller.earned += QUEUE_TURN_BYTES
            self.callers[name] = self.callers.pop(name)


@dataclass(slots=True)
class _Room:
    """What may still join a batch."""

    size: int
    bytes: int

    def holds(self, group: Group[Entry]) -> bool:
        """Whether the group may."""
        return not group.in_pieces and group.size <= self.size and group.bytes <= self.bytes

    def give(self, group: Group[Entry]) -> None:
        """The group did."""
        self.size -= group.size
        self.bytes -= group.bytes


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

    def put_back(self, group: Group[Entry]) -> None:
        """Let a group wait for the turn of its next piece, before all else of its caller.

        It was begun, so it holds no room and never gives way.
        """
        group.size = 0
        tenant = self._tenants.setdefault(group.flow.tenant, _Tenant())
        tenant.callers.setdefault(group.flow.caller, _Caller()).groups.appendleft(group)

    def stand_last(self, flow: Flow) -> None:
        """Let whoever waits by now go before the tenant, and before the caller within it: their piece is done."""
        tenant = self._tenants.pop(flow.tenant, None)
        if tenant is not None:
            self._tenants[flow.tenant] = tenant
            caller = tenant.callers.pop(flow.caller, None)
            if caller is not None:
                tenant.callers[flow.caller] = caller

    def take(self, size_max: int, bytes_max: int = PIPELINE_BYTES_MAX) -> list[Group[Entry]]:
        """The groups whose turn it is: at least one, and beyond one at most `size_max` actions of `bytes_max`.

        A group that costs more than a turn does not join those that go now: they would wait for it. It goes as soon as
        it has earned its cost, at once when nobody else waits. One that is worked on in pieces goes alone, next after
        what may go together.
        """
        batch: list[Group[Entry]] = []
        room = _Room(size_max, bytes_max)
        kept: set[str] = set()  # tenants whose turn comes next: they stay first
        while self._tenants:
            before = len(batch)
            for name in [each for each in self._tenants if each not in kept]:
                tenant = self._tenants[name]
                tenant.earned += QUEUE_TURN_BYTES
                while tenant.callers and (head := tenant.head()).cost <= tenant.earned:
                    if batch and not room.holds(head):
                        tenant.earned -= QUEUE_TURN_BYTES  # its turn is not over
                        if not head.in_pieces:
                            return batch
                        kept.add(name)
                        break
                    tenant.earned -= head.cost
                    tenant.callers[head.flow.caller].earned -= head.cost
                    self.remove(head)
                    batch.append(head)
                    room.give(head)
                    if head.in_pieces:
                        return batch
                if tenant.callers and name not in kept:
                    self._tenants[name] = self._tenants.pop(name)
            if batch and len(batch) == before:
                break
        return batch

    def _overfull(self, size: int) -> bool:
        """Whether a group of that size is too much for what waits; none is when nothing waits."""
        return self._depth > 0 and self._depth + size > self._depth_max

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
