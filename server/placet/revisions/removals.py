"""What a tenant's file, or the data of a pack, lost against the one before it: a file that was cut off looks like that.

Restrictions often stand after what allows, so a file without its end allows more. A file is mostly copied because
something in it changed, so a place that is gone counts whatever else was changed or added. A change that takes
restrictions away is therefore asked about before it decides; one that gives another value in their place is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.kernel.diagnostics import Place

BY_TOOL: Final = frozenset({"approvals", "destinations", "evidence", "tools"})
"""Sections whose keys are tools; what they say of a tool that is in neither list any longer restricts nothing."""
ALLOWING: Final = frozenset({"allowed_tools", "default_mode", "write_tools"})
"""What is lost of these can only be denied: `default_mode` is read_only when it is not said."""
NOT_REQUIRED: Final = "not_required"
PACKS: Final = "packs"
ID: Final = "id"


def lost_restrictions(before: object, after: object) -> tuple[Place, ...]:
    """Places of the restrictions that `before` has and `after` has not.

    Both are values of the key `agent_policy`, as read.
    """
    after = {} if after is None else after
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ()
    tools = {tool for key in ("allowed_tools", "write_tools") for tool in _list(after.get(key))}
    return tuple(place for place in left_out(before, after) if _restricts(place, before, tools))


def left_out(before: object, after: object) -> tuple[Place, ...]:
    """Places of `before` that are not in `after`. Another value in its place is there; a word is no mapping."""
    return tuple(_left_out(before, after, ()))


def lost_settings(before: object, after: object) -> tuple[Place, ...]:
    """Places of a pack's data that `before` has and `after` has not; of its lists, as of a tenant's `packs`."""
    return tuple(place[1:] for place in _left_out(before, after, (PACKS,)))


def _left_out(before: object, after: object, place: Place) -> Iterator[Place]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in before.items():
            if key in after:
                yield from _left_out(value, after[key], (*place, key))
            else:
                yield (*place, key)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items_left_out(before, after, place)
    elif after is None and before is not None and before not in ({}, []):  # the key stands there, and nothing below it
        yield place
    elif isinstance(before, Mapping):  # a word in place of a mapping says nothing of what the members said
        yield from ((*place, key) for key in before)


def _items_left_out(before: list[object], after: list[object], place: Place) -> Iterator[Place]:
    """Items that have no equal one, in whatever order, and none that took their place."""
    others = [*after]
    unmatched: list[tuple[int, object]] = []
    for index, item in enumerate(before):
        if item in others:
            others.remove(item)
        else:
            unmatched.append((index, item))
    for index, item in unmatched:
        successor = next((other for other in others if _succeeds(other, item, place)), None)
        if successor is None:
            yield (*place, index)
        else:
            others.remove(successor)
            yield from _left_out(item, successor, (*place, index))


def _succeeds(other: object, item: object, place: Place) -> bool:
    """Whether it stands in the item's place with another value.

    What has an id is known by it. A name in a list is a place of its own, but for lists of packs, which mean what the
    packs make of them.
    """
    if isinstance(item, Mapping):
        return isinstance(other, Mapping) and item.get(ID) == other.get(ID)
    if isinstance(item, list):
        return isinstance(other, list)
    return place[:1] == (PACKS,) and not isinstance(other, Mapping | list)


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
        case ("tools", _, "params_schema", *_, "enum" | "type", int()):
            restricts = False  # likewise, of values
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
