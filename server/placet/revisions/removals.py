"""Finds the restrictions that a tenant's file, or the data of a pack, lost against its earlier version.

A file that was cut off while it was copied looks like one that lost restrictions: they often come after the keys that
allow, so the file without its end allows more. A file is usually copied because it was changed, so a place that is gone
counts whatever else was changed or added. A new value in the same place is not a loss. A policy that lost restrictions
is held until a person confirms it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.kernel.diagnostics import Place

BY_TOOL: Final = frozenset({"approvals", "destinations", "evidence", "tools"})
"""Sections whose keys are tools. An entry for a tool that is in neither list any longer restricts nothing."""
ALLOWING: Final = frozenset({"allowed_tools", "default_mode", "permits", "write_tools"})
"""Keys that allow: losing a part of them can only deny more. The default of `default_mode` is read_only. Without
`permits: always` fewer allows carry a permit, and executors that verify permits run fewer calls."""
NOT_REQUIRED: Final = "not_required"
PACKS: Final = "packs"
ID: Final = "id"


def lost_restrictions(before: object, after: object) -> tuple[Place, ...]:
    """Return the places of the restrictions that `before` has and `after` has not.

    Both are parsed values of the key `agent_policy`.
    """
    after = {} if after is None else after
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ()
    tools = {tool for key in ("allowed_tools", "write_tools") for tool in _list(after.get(key))}
    return tuple(place for place in missing_places(before, after) if _restricts(place, before, tools))


def missing_places(before: object, after: object) -> tuple[Place, ...]:
    """Return the places of `before` that are not in `after`.

    A place with another value is not missing. If a scalar replaces a mapping, the members of the mapping are missing.
    """
    return tuple(_missing(before, after, ()))


def lost_settings(before: object, after: object) -> tuple[Place, ...]:
    """Return the places of a pack's data that `before` has and `after` has not. Lists count as in `packs`."""
    return tuple(place[1:] for place in _missing(before, after, (PACKS,)))


def _missing(before: object, after: object, place: Place) -> Iterator[Place]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in before.items():
            if key in after:
                yield from _missing(value, after[key], (*place, key))
            else:
                yield (*place, key)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _missing_items(before, after, place)
    elif after is None and before is not None and before not in ({}, []):  # the key is there, but without a value
        yield place
    elif isinstance(before, Mapping):  # a scalar replaces the mapping, so its members are gone
        yield from ((*place, key) for key in before)


def _missing_items(before: list[object], after: list[object], place: Place) -> Iterator[Place]:
    """Yield the places of items without an equal item, in any order, and without a successor."""
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
            yield from _missing(item, successor, (*place, index))


def _succeeds(other: object, item: object, place: Place) -> bool:
    """Return whether `other` is the same item with another value.

    Mappings are matched by their id. A scalar in a list has no successor: its removal always counts. Only in the lists
    of packs a scalar may replace another, because packs define the meaning of their lists.
    """
    if isinstance(item, Mapping):
        return isinstance(other, Mapping) and item.get(ID) == other.get(ID)
    if isinstance(item, list):
        return isinstance(other, list)
    return place[:1] == (PACKS,) and not isinstance(other, Mapping | list)


def _restricts(place: Place, before: Mapping[object, object], tools: set[object]) -> bool:
    """Return whether more may be allowed without the value at the place."""
    match place:
        case (section, *_) if section in ALLOWING:
            restricts = False
        case (section, tool, *_) if section in BY_TOOL and tool not in tools:
            restricts = False
        case ("approvals", _):
            restricts = _at(before, place) != NOT_REQUIRED
        case ("agents", _, "owner" | "purpose"):
            restricts = False
        case (
            ("agents", _, "runtimes", _)
            | ("destinations", _, _)
            | ("environments", "write", _)
            | ("approver_groups", _, _)
        ):
            restricts = False  # a shorter list of permitted names
        case ("tools", _, "params_schema", *_, "enum" | "type", int()):
            restricts = False  # a shorter list of permitted values
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
