"""What a tenant's file lost against the one before it, when it only lost: a file that was cut off looks like that.

Restrictions often stand after what allows, so a file without its end allows more. A change that takes restrictions away
and puts nothing in their place is therefore asked about before it decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.core.faults import Place

BY_TOOL: Final = frozenset({"approvals", "destinations", "evidence", "tools"})
"""Sections whose keys are tools; what they say of a tool that is in neither list any longer restricts nothing."""
ALLOWING: Final = frozenset({"allowed_tools", "default_mode", "write_tools"})
"""What is lost of these can only be denied: `default_mode` is read_only when it is not said."""
NOT_REQUIRED: Final = "not_required"


def lost_restrictions(before: object, after: object) -> tuple[Place, ...]:
    """Places of the restrictions that `after` lost, when it is `before` with something left out; () otherwise.

    Both are values of the key `agent_policy`, as read.
    """
    lost = left_out(before, after)
    if lost is None or not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ()
    tools = {tool for key in ("allowed_tools", "write_tools") for tool in _list(after.get(key))}
    return tuple(place for place in lost if _restricts(place, before, tools))


def left_out(before: object, after: object) -> tuple[Place, ...] | None:
    """Places of `before` that are not in `after`; None when it differs otherwise: by more, or by another value."""
    try:
        return tuple(_left_out(before, after, ()))
    except _DiffersError:
        return None


class _DiffersError(Exception):
    """It is not just that something is missing."""


def _left_out(before: object, after: object, place: Place) -> Iterator[Place]:
    if before == after:
        return
    if after is None and isinstance(before, Mapping | list):  # the key stands there, and nothing below it
        yield place
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        if not after.keys() <= before.keys():
            raise _DiffersError
        for key, value in before.items():
            if key in after:
                yield from _left_out(value, after[key], (*place, key))
            else:
                yield (*place, key)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items_left_out(before, after, place)
    else:
        raise _DiffersError


def _items_left_out(before: list[object], after: list[object], place: Place) -> Iterator[Place]:
    """Items in their order; where that does not fit, the last item may itself have lost something."""
    rest = iter(after)
    wanted = next(rest, None)
    lost: list[Place] = []
    for index, item in enumerate(before):
        if wanted is not None and item == wanted:
            wanted = next(rest, None)
        else:
            lost.append((*place, index))
    if wanted is None:
        yield from lost
        return
    last = len(after) - 1
    if last >= len(before) or before[:last] != after[:last]:
        raise _DiffersError
    yield from _left_out(before[last], after[last], (*place, last))
    yield from ((*place, index) for index in range(last + 1, len(before)))


def _restricts(place: Place, before: Mapping[object, object], tools: set[object]) -> bool:
    """Whether more may be allowed without what stood at the place."""
    match place:
        case (section, *_) if section in ALLOWING:
            restricts = False
        case (section, tool, *_) if section in BY_TOOL and tool not in tools:
            restricts = False
        case ("approvals", _):
            restricts = _at(before, place) != NOT_REQUIRED
        case ("destinations", _, _) | ("environments", "write", _) | ("approver_groups", _, _):
            restricts = False  # a list of what may be, become shorter
        case ("dry_run", "waives_approval", *_):
            restricts = False
        case ("dry_run", "required", _):
            restricts = _at(before, place) in tools
        case _:
            restricts = True
    return restricts


def _at(value: object, place: Place) -> object:
    for part in place:
        if isinstance(value, Mapping):
            value = value[part]
        elif isinstance(value, list):
            value = value[int(part)]
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
