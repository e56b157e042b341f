"""What a policy lost against the one that is served, when it looks as if files had lost their end, or were lost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.diagnostics import place_of
from placet.kernel.errors import PolicyInvalidError
from placet.policy.files.strict_yaml import read_yaml
from placet.policy.files.tenant_files import TOP_KEY
from placet.policy.rego.rule_locations import RuleLocations
from placet.revisions.removals import ID, lost_restrictions, lost_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.kernel.diagnostics import Place
    from placet.policy.files.tree import PolicyTree

END_MARK: Final = b"..."
"""YAML's own mark of a document's end: a file that had one and has none has lost its end."""
PLACES_SHOWN: Final = 8
_REMARKS: Final = re.compile(rb"\s*(#[^\n]*(\n|\Z)\s*)*\Z")
"""Blank lines and comments: a file that lost no more than these lost nothing."""


def what_it_lost(
    served: PolicyTree, new: PolicyTree, tenants: Mapping[str, bytes], same: frozenset[str]
) -> tuple[str, ...]:
    """What `new` lost against `served`, one text with its file for each; () when nothing needs to be asked.

    `tenants` are the last files of all tenants that there were, also of those that have none in `served`; those that
    are the `same` mean what they meant before, however they are written.
    """
    before, after = {**served.deciding, **tenants}, new.deciding
    return (
        *_gone(served, new),
        *_cut(before, after, new, same),
        *_lost(before, after, new, same),
        *_data_lost(served, new),
        *_rules_gone(served, new),
    )


def _gone(served: PolicyTree, new: PolicyTree) -> Iterator[str]:
    """Files of rules that are not there, when there are no new ones in their place."""
    if not new.modules.keys() - served.modules.keys():
        for name in sorted(served.modules.keys() - new.modules.keys()):
            yield f"{new.where(name)}: is gone, with its rules"


def _rules_gone(served: PolicyTree, new: PolicyTree) -> Iterator[str]:
    """Rules that deny or ask for approval and are in no module any more; but for those that went with a file told."""
    added = new.modules.keys() - served.modules.keys()
    before, after = RuleLocations(served.modules).restricting, RuleLocations(new.modules).restricting
    for rule_id in sorted(before.keys() - after.keys()):
        module = before[rule_id]
        if module in new.modules or added:
            yield f"{new.where(module)}: has lost the rule {rule_id}, which denies or asks for approval"


def _cut(
    before: Mapping[str, bytes], after: Mapping[str, bytes], new: PolicyTree, same: frozenset[str]
) -> Iterator[str]:
    """Files that are the beginning of what they were."""
    for name in sorted(before.keys() & after.keys() - same):
        old, now = before[name], after[name].rstrip()
        if len(now) < len(old) and old.startswith(now) and not _REMARKS.match(old, len(now)):
            line = now.count(b"\n") + 1
            yield f"{new.where(name, line)}: ends here, after {len(now):,} of the {len(old):,} bytes that it had"


def _lost(
    before: Mapping[str, bytes], after: Mapping[str, bytes], new: PolicyTree, same: frozenset[str]
) -> Iterator[str]:
    """Tenants' files that lost their end mark, or restrictions, whatever else changed."""
    for name in sorted(before.keys() & new.tenants.keys() - same):
        if _marked(before[name]) and not _marked(after[name]):
            yield f"{new.where(name)}: has lost the end mark `{END_MARK.decode()}` that it had"
        old = _value(before[name])
        places = lost_restrictions(old, _value(after[name]))
        if places:
            yield f"{new.where(name)}: lost restrictions: {_shown(places, old)}"


def _data_lost(served: PolicyTree, new: PolicyTree) -> Iterator[str]:
    """Files of data that are gone, or of which a part is in no file any more."""
    now = _data(new)
    added = new.data.keys() - served.data.keys()
    with_rules = {_folder(name) for name in new.modules}
    for name, document in served.data.items():
        folder = _folder(name)
        after = _at(now, folder)
        if after is not None:
            places = lost_settings(document.value, after)
            if places:
                yield f"{new.where(name)}: lost settings: {_shown(places, document.value)}"
        elif not added or folder in with_rules:
            yield f"{new.where(name)}: is gone, with its data"


def _data(tree: PolicyTree) -> object:
    """The data of all files as one document, as policy sees it."""
    whole: object = {}
    for name, document in tree.data.items():
        value: object = document.value
        for part in reversed(_folder(name)):
            value = {part: value}
        whole = _merged(whole, value)
    return whole


def _merged(one: object, other: object) -> object:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {**one, **{key: _merged(one[key], each) if key in one else each for key, each in other.items()}}
    return other


def _at(value: object, place: tuple[str, ...]) -> object:
    for part in place:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _folder(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parent.parts


def _shown(places: Sequence[Place], before: object) -> str:
    shown = ", ".join(place_of(_with_ids(place, before)) for place in places[:PLACES_SHOWN])
    return shown + (f" and {len(places) - PLACES_SHOWN} more" if len(places) > PLACES_SHOWN else "")


def _with_ids(place: Place, before: Any) -> Place:  # noqa: ANN401 - whatever the file said
    """The place with the id of what stood in a list, such as a budget, instead of its number."""
    named: list[str | int] = []
    for part in place:
        before = before[part]
        name = before.get(ID) if isinstance(part, int) and isinstance(before, Mapping) else None
        named.append(name if isinstance(name, str) else part)
    return tuple(named)


def _marked(content: bytes) -> bool:
    return content.rstrip().endswith(b"\n" + END_MARK)


def _value(content: bytes) -> Any:  # noqa: ANN401 - whatever the file says
    try:
        value = read_yaml(content, "").value
    except PolicyInvalidError:  # it was served once, by other rules
        return None
    return value.get(TOP_KEY) if isinstance(value, dict) else None
