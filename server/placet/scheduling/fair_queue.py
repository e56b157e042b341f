"""A bounded queue that tenants, and the callers of one tenant, share fairly.

Turns follow deficit round robin (Shreedhar and Varghese, 1995). In each round every waiting tenant and caller earns
QUEUE_TURN_BYTES, and may proceed once that covers the cost of its next group. An action costs its bytes, but at least a
QUEUE_TURN_ACTIONS-th of a turn. Within one caller the order stays. When the queue is full, a tenant that holds more
than its share loses its newest groups, so a flood displaces only itself.

A group that is processed in pieces costs one turn for each piece. Between two pieces its tenant and its caller move to
the end, so that all others that wait go first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from placet.kernel.limits import PIPELINE_BYTES_MAX, QUEUE_TURN_ACTIONS, QUEUE_TURN_BYTES

Entry = TypeVar("Entry")
ACTION_COST_MIN: Final = QUEUE_TURN_BYTES // QUEUE_TURN_ACTIONS
"""Cost of the smallest action, in bytes."""


class Flow(NamedTuple):
    """Whose calls share turns and room: one caller of a tenant."""

    tenant: str = ""
    caller: str = ""


@dataclass(slots=True, eq=False)
class Group(Generic[Entry]):
    """Actions that stay together in the queue."""

    flow: Flow
    size: int
    """Number of actions."""
    entry: Entry
    bytes: int = 0
    in_pieces: bool = False
    """The group is taken without others, and may come back for more turns."""

    @property
    def cost(self) -> int:
        """What its turn must cover."""
        return QUEUE_TURN_BYTES if self.in_pieces else max(self.size * ACTION_COST_MIN, self.bytes)


@dataclass(slots=True)
class _Caller(Generic[Entry]):
    """The groups of one caller, in order."""

    groups: deque[Group[Entry]] = field(default_factory=deque)
    size: int = 0
    earned: int = 0


@dataclass(slots=True)
class _Tenant(Generic[Entry]):
    """The waiting callers of a tenant. The first one is next."""

    callers: dict[str, _Caller[Entry]] = field(default_factory=dict)
    size: int = 0
    earned: int = 0

    def head(self) -> Group[Entry]:
        """Return the group whose turn it is."""
        while True:
            name, caller = next(iter(self.callers.items()))
            if caller.groups[0].cost <= caller.earned:
                return caller.groups[0]
            caller.earned += QUEUE_TURN_BYTES
            self.callers[name] = self.callers.pop(name)


@dataclass(slots=True)
class _Room:
    """How much may still join a batch."""

    size: int
    bytes: int

    def holds(self, group: Group[Entry]) -> bool:
        """Return whether the group fits."""
        return not group.in_pieces and group.size <= self.size and group.bytes <= self.bytes

    def give(self, group: Group[Entry]) -> None:
        """Take the room of a group that joined."""
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
        """How many actions wait."""
        return self._depth

    def put(self, group: Group[Entry]) -> list[Group[Entry]] | None:
        """Add the group. Return the groups that it displaced, or None when there is no room and it was not added."""
        displaced: list[Group[Entry]] = []
        own = self._tenants.get(group.flow.tenant)
        if self._overfull(group.size):
            share = self._depth_max // (len(self._tenants) + (own is None))
            if (own.size if own is not None else 0) + group.size <= share:
                while self._overfull(group.size):
                    displaced.append(self._turn_away(max(self._tenants.values(), key=lambda tenant: tenant.size)))
            elif own is not None and _within_share(own, group):
                while self._overfull(group.size):
                    displaced.append(self._turn_away(own))
            else:
                return None
        tenant = self._tenants.setdefault(group.flow.tenant, _Tenant())
        caller = tenant.callers.setdefault(group.flow.caller, _Caller())
        caller.groups.append(group)
        caller.size += group.size
        tenant.size += group.size
        self._depth += group.size
        return displaced

    def remove(self, group: Group[Entry]) -> bool:
        """Remove the group. Return whether it was waiting."""
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
        """Add a group for the turn of its next piece, before all other groups of its caller.

        It has been started, so it takes no room and is never displaced.
        """
        group.size = 0
        tenant = self._tenants.setdefault(group.flow.tenant, _Tenant())
        tenant.callers.setdefault(group.flow.caller, _Caller()).groups.appendleft(group)

    def move_to_end(self, flow: Flow) -> None:
        """Move the tenant, and the caller within it, behind all that wait: their piece is done."""
        tenant = self._tenants.pop(flow.tenant, None)
        if tenant is not None:
            self._tenants[flow.tenant] = tenant
            caller = tenant.callers.pop(flow.caller, None)
            if caller is not None:
                tenant.callers[flow.caller] = caller

    def take(self, size_max: int, bytes_max: int = PIPELINE_BYTES_MAX) -> list[Group[Entry]]:
        """Take the groups whose turn it is: at least one, and beyond one at most `size_max` actions of `bytes_max`.

        A group that costs more than a turn does not join the others, which would wait for it. It goes as soon as it has
        earned its cost, at once when nothing else waits. A group in pieces goes without others, next after those that
        may go together.
        """
        batch: list[Group[Entry]] = []
        room = _Room(size_max, bytes_max)
        next_tenants: set[str] = set()  # tenants whose turn is next; they stay first
        while self._tenants:
            before = len(batch)
            for name in [tenant for tenant in self._tenants if tenant not in next_tenants]:
                tenant = self._tenants[name]
                tenant.earned += QUEUE_TURN_BYTES
                while tenant.callers and (head := tenant.head()).cost <= tenant.earned:
                    if batch and not room.holds(head):
                        tenant.earned -= QUEUE_TURN_BYTES  # its turn is not over
                        if not head.in_pieces:
                            return batch
                        next_tenants.add(name)
                        break
                    tenant.earned -= head.cost
                    tenant.callers[head.flow.caller].earned -= head.cost
                    self.remove(head)
                    batch.append(head)
                    room.give(head)
                    if head.in_pieces:
                        return batch
                if tenant.callers and name not in next_tenants:
                    self._tenants[name] = self._tenants.pop(name)
            if batch and len(batch) == before:
                break
        return batch

    def _overfull(self, size: int) -> bool:
        """Return whether a group of that size exceeds the room. No group does when nothing waits."""
        return self._depth > 0 and self._depth + size > self._depth_max

    def _turn_away(self, tenant: _Tenant[Entry]) -> Group[Entry]:
        """Remove and return the newest group of the caller that holds most of the tenant's room."""
        group = max(tenant.callers.values(), key=lambda caller: caller.size).groups[-1]
        self.remove(group)
        return group


def _within_share(tenant: _Tenant[Entry], group: Group[Entry]) -> bool:
    """Return whether the caller would hold no more than its share of what the tenant holds already."""
    caller = tenant.callers.get(group.flow.caller)
    share = tenant.size // (len(tenant.callers) + (caller is None))
    return (caller.size if caller is not None else 0) + group.size <= share
