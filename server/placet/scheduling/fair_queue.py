"""A bounded queue that is fair between tenants, and between the callers of one tenant.

It takes turns by deficit round robin (Shreedhar and Varghese, 1995). In each round every waiting tenant earns
QUEUE_TURN_BYTES, and its next group may leave once the earnings cover the cost of that group. The callers of a tenant
take turns in the same way. An action costs its bytes, but at least 1 / QUEUE_TURN_ACTIONS of a turn. The groups of one
caller stay in order.

When the queue is full, a tenant that holds more than its share loses its newest groups, so a flood displaces itself.

While several tenants wait, or did lately, none adds more actions to a batch than the tenant that has the fewest, or
QUEUE_SHARE_ACTIONS if that is more. Otherwise a flood would fill each batch, and the others would wait for all of it.
Callers that wait for their answers are missing in the batch that begins when they are answered. What a flood gets in
such a batch, which it has to itself, is subtracted from its share of the next one.

A group that is processed in pieces costs one turn for each piece. Between two pieces, its tenant and its caller move to
the back, so that all others that wait go first.

`Batcher` queues actions here, and the gRPC intake queues unread calls.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from placet.kernel.limits import (
    PIPELINE_BYTES_MAX,
    QUEUE_SHARE_ACTIONS,
    QUEUE_SHARED_BATCHES,
    QUEUE_TURN_ACTIONS,
    QUEUE_TURN_BYTES,
)

Entry = TypeVar("Entry")
ACTION_COST_MIN: Final = QUEUE_TURN_BYTES // QUEUE_TURN_ACTIONS
"""The cost of the smallest action, in bytes."""


class Flow(NamedTuple):
    """The key by which turns and room are shared: one caller of one tenant."""

    tenant: str = ""
    caller: str = ""


@dataclass(slots=True, eq=False)
class Group(Generic[Entry]):
    """Actions that leave the queue together."""

    flow: Flow
    size: int  # number of actions; 0 once the first piece was processed
    entry: Entry
    bytes: int = 0
    in_pieces: bool = False  # leaves alone, and may be put back for more turns
    cost: int = field(init=False)  # bytes that the tenant and the caller must have earned

    def __post_init__(self) -> None:
        self.cost = QUEUE_TURN_BYTES if self.in_pieces else max(self.size * ACTION_COST_MIN, self.bytes)

    def take_pieces(self) -> None:
        """Process the group in pieces, each of which costs a turn."""
        self.in_pieces, self.cost = True, QUEUE_TURN_BYTES


@dataclass(slots=True)
class _Caller(Generic[Entry]):
    """The groups of one caller, in order."""

    groups: deque[Group[Entry]] = field(default_factory=deque)
    size: int = 0  # actions of all groups
    earned: int = 0  # bytes


@dataclass(slots=True)
class _Tenant(Generic[Entry]):
    """The callers of a tenant that have groups."""

    callers: dict[str, _Caller[Entry]] = field(default_factory=dict)  # the caller whose turn it is comes first
    size: int = 0  # actions of all callers
    earned: int = 0  # bytes

    def head(self) -> Group[Entry]:
        """Return the group whose turn it is among the callers. Callers earn turns until one can pay."""
        while True:
            name, caller = next(iter(self.callers.items()))
            if caller.groups[0].cost <= caller.earned:
                return caller.groups[0]
            caller.earned += QUEUE_TURN_BYTES
            self.callers[name] = self.callers.pop(name)


@dataclass(slots=True)
class _Room:
    """The room that is left in a batch."""

    size: int  # actions
    bytes: int

    def fits(self, group: Group[Entry]) -> bool:
        """Return whether the group may join the batch."""
        return not group.in_pieces and group.size <= self.size and group.bytes <= self.bytes

    def subtract(self, group: Group[Entry]) -> None:
        """Count a group that joined the batch."""
        self.size -= group.size
        self.bytes -= group.bytes


class FairQueue(Generic[Entry]):
    """A queue of at most `depth_max` actions, or of one larger group."""

    def __init__(self, depth_max: int) -> None:
        self._depth_max = depth_max
        self._tenants: dict[str, _Tenant[Entry]] = {}
        self._depth = 0
        self._shared_batches = 0  # batches that are still shared, because several tenants waited
        self._alone: dict[str, int] = {}  # tenant of the last shared batches, if it was alone in them -> its actions

    def __bool__(self) -> bool:
        return bool(self._tenants)

    @property
    def depth(self) -> int:
        """Return the number of actions that wait."""
        return self._depth

    def put(self, group: Group[Entry]) -> list[Group[Entry]] | None:
        """Append a group. Returns the groups that it displaced; None when there is no room, and it was not appended."""
        displaced: list[Group[Entry]] = []
        own = self._tenants.get(group.flow.tenant)
        if self._is_full_for(group.size):
            share = self._depth_max // (len(self._tenants) + (own is None))
            if (own.size if own is not None else 0) + group.size <= share:
                while self._is_full_for(group.size):
                    displaced.append(self._displace(max(self._tenants.values(), key=lambda tenant: tenant.size)))
            elif own is not None and _within_share(own, group):
                while self._is_full_for(group.size):
                    displaced.append(self._displace(own))
            else:
                return None
        tenant = self._tenants.setdefault(group.flow.tenant, _Tenant())
        caller = tenant.callers.setdefault(group.flow.caller, _Caller())
        caller.groups.append(group)
        caller.size += group.size
        tenant.size += group.size
        self._depth += group.size
        if len(self._tenants) > 1:
            self._shared_batches = QUEUE_SHARED_BATCHES
        return displaced

    def remove(self, group: Group[Entry]) -> bool:
        """Remove a group. Returns whether it was in the queue."""
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
        """Put a group back for its next piece, before all other groups of its caller.

        Its processing has begun, so it takes no room and is never displaced.
        """
        group.size = 0
        tenant = self._tenants.setdefault(group.flow.tenant, _Tenant())
        tenant.callers.setdefault(group.flow.caller, _Caller()).groups.appendleft(group)

    def move_to_end(self, flow: Flow) -> None:
        """Move a tenant behind all others, and the caller behind the others of its tenant, after a piece is done."""
        tenant = self._tenants.pop(flow.tenant, None)
        if tenant is not None:
            self._tenants[flow.tenant] = tenant
            caller = tenant.callers.pop(flow.caller, None)
            if caller is not None:
                tenant.callers[flow.caller] = caller

    def take(self, size_max: int, bytes_max: int = PIPELINE_BYTES_MAX) -> list[Group[Entry]]:
        """Remove and return the groups whose turn it is: one, or several of at most `size_max` actions and `bytes_max`.

        A group that costs more than a turn does not join the others of this batch, because they would wait for it. It
        leaves once its cost is earned, at once when nothing else waits. A group that is processed in pieces leaves
        alone, after the groups that can leave together. Returns [] when nothing waits.
        """
        batch = self._fill(size_max, bytes_max)
        if self._shared_batches or self._alone:
            self._note_alone(batch)
        return batch

    def _fill(self, size_max: int, bytes_max: int) -> list[Group[Entry]]:
        """Remove and return the groups of the next batch."""
        batch: list[Group[Entry]] = []
        room = _Room(size_max, bytes_max)
        share = self._share(size_max)
        taken: dict[str, int] = {}  # actions of each tenant in the batch
        next_up: set[str] = set()  # tenants whose turn is not over: they stay at the front
        while self._tenants:
            before = len(batch)
            for name in [name for name in self._tenants if name not in next_up]:
                tenant = self._tenants[name]
                tenant.earned += QUEUE_TURN_BYTES
                while tenant.callers and (head := tenant.head()).cost <= tenant.earned:
                    if name in taken and taken[name] + head.size > self._share_of(name, share):
                        tenant.earned = 0  # it had its share, and earns its turns in the next batch
                        break
                    if batch and not room.fits(head):
                        tenant.earned -= QUEUE_TURN_BYTES  # the tenant earns this turn in the next batch
                        if not head.in_pieces:
                            return batch
                        next_up.add(name)
                        break
                    tenant.earned -= head.cost
                    tenant.callers[head.flow.caller].earned -= head.cost
                    self.remove(head)
                    batch.append(head)
                    room.subtract(head)
                    taken[name] = taken.get(name, 0) + head.size
                    if head.in_pieces:
                        return batch
                if tenant.callers and name not in next_up:
                    self._tenants[name] = self._tenants.pop(name)
            if batch and len(batch) == before:
                break
        return batch

    def _share(self, size_max: int) -> int:
        """Return the most actions of one tenant in the next batch: as many as the tenant with the fewest has there."""
        if not self._shared_batches:
            return size_max
        self._shared_batches -= 1
        fewest = min(tenant.size for tenant in self._tenants.values()) if len(self._tenants) > 1 else 0
        return max(fewest, QUEUE_SHARE_ACTIONS)

    def _share_of(self, tenant: str, share: int) -> int:
        """Return the share of a tenant, less what it had in batches without the others while these were answered."""
        return max(share - self._alone.get(tenant, 0), QUEUE_SHARE_ACTIONS) if self._alone else share

    def _note_alone(self, batch: list[Group[Entry]]) -> None:
        """Remember which tenant was alone in the last shared batches, and how many actions it had there."""
        tenants = {group.flow.tenant for group in batch}
        if not self._shared_batches or len(tenants) != 1:
            self._alone = {}
            return
        tenant = tenants.pop()
        self._alone = {tenant: self._alone.get(tenant, 0) + sum(group.size for group in batch)}

    def _is_full_for(self, size: int) -> bool:
        """Return whether a group of that size exceeds the depth. An empty queue has room for any group."""
        return self._depth > 0 and self._depth + size > self._depth_max

    def _displace(self, tenant: _Tenant[Entry]) -> Group[Entry]:
        """Remove and return the newest group of the tenant's caller that has most actions."""
        group = max(tenant.callers.values(), key=lambda caller: caller.size).groups[-1]
        self.remove(group)
        return group


def _within_share(tenant: _Tenant[Entry], group: Group[Entry]) -> bool:
    """Return whether the caller would hold at most an equal share of the actions that the tenant holds now."""
    caller = tenant.callers.get(group.flow.caller)
    share = tenant.size // (len(tenant.callers) + (caller is None))
    return (caller.size if caller is not None else 0) + group.size <= share
