"""Find what a new policy lost against the served one: restrictions, rules, data, or the end of a file.

Such a loss may be an accident, such as a file that was copied only in part. The comparison of two documents is in
`placet.revisions.removals`.
"""

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
"""YAML's own mark for the end of a document. A file that had one and has none now was cut off."""
PLACES_SHOWN: Final = 8
_BLANKS_AND_COMMENTS: Final = re.compile(rb"\s*(#[^\n]*(\n|\Z)\s*)*\Z")
"""Blank lines and comments: a file that lost no more than these lost nothing."""


def find_removals(
    served: PolicyTree, new: PolicyTree, tenants: Mapping[str, bytes], same: frozenset[str]
) -> tuple[str, ...]:
    """Return one text for each loss of `new` against `served`, which names the file; empty without a loss.

    `tenants` are the last tenant files of every tenant, also of tenants that have none in `served`. `same` are the
    names of tenant files that mean the same as before; they are not compared.
    """
    before, after = {**served.deciding, **tenants}, new.deciding
    return (
        *_missing_modules(served, new),
        *_truncated_files(before, after, new, same),
        *_lost_restrictions(before, after, new, same),
        *_lost_data(served, new),
        *_lost_rules(served, new),
    )


def _missing_modules(served: PolicyTree, new: PolicyTree) -> Iterator[str]:
    """Yield removed modules, unless modules were added, which may replace them."""
    if not new.modules.keys() - served.modules.keys():
        for name in sorted(served.modules.keys() - new.modules.keys()):
            yield f"{new.where(name)}: is gone, with its rules"


def _lost_rules(served: PolicyTree, new: PolicyTree) -> Iterator[str]:
    """Yield rules of deny or require_approval that no module has any more.

    Leaves out the rules of modules that `_missing_modules` yields.
    """
    added = new.modules.keys() - served.modules.keys()
    before, after = RuleLocations(served.modules).restricting, RuleLocations(new.modules).restricting
    for rule_id in sorted(before.keys() - after.keys()):
        module = before[rule_id]
        if module in new.modules or added:
            yield f"{new.where(module)}: has lost the rule {rule_id}, which denies or requires approval"


def _truncated_files(
    before: Mapping[str, bytes], after: Mapping[str, bytes], new: PolicyTree, same: frozenset[str]
) -> Iterator[str]:
    """Yield files that are a beginning of their previous content, and lost more than blank lines and comments."""
    for name in sorted(before.keys() & after.keys() - same):
        old, now = before[name], after[name].rstrip()
        if len(now) < len(old) and old.startswith(now) and not _BLANKS_AND_COMMENTS.match(old, len(now)):
            line = now.count(b"\n") + 1
            yield f"{new.where(name, line)}: ends here, after {len(now):,} of the {len(old):,} bytes that it had"


def _lost_restrictions(
    before: Mapping[str, bytes], after: Mapping[str, bytes], new: PolicyTree, same: frozenset[str]
) -> Iterator[str]:
    """Yield tenant files that lost their end mark or restrictions."""
    for name in sorted(before.keys() & new.tenants.keys() - same):
        if _has_end_mark(before[name]) and not _has_end_mark(after[name]):
            yield f"{new.where(name)}: has lost the end mark `{END_MARK.decode()}` that it had"
        old = _agent_policy(before[name])
        places = lost_restrictions(old, _agent_policy(after[name]))
        if places:
            yield f"{new.where(name)}: lost restrictions: {_listed(places, old)}"


def _lost_data(served: PolicyTree, new: PolicyTree) -> Iterator[str]:
    """Yield data files that are missing, or of which a part is in no data file any more."""
    data = new.nested_data()
    added = new.data.keys() - served.data.keys()
    folders_with_rules = {_folder(name) for name in new.modules}
    for name, document in served.data.items():
        folder = _folder(name)
        now = _value_at(data, folder)
        if now is not None:
            places = lost_settings(document.value, now)
            if places:
                yield f"{new.where(name)}: lost settings: {_listed(places, document.value)}"
        elif not added or folder in folders_with_rules:
            yield f"{new.where(name)}: is gone, with its data"


def _value_at(value: object, path: tuple[str, ...]) -> object:
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _folder(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parent.parts


def _listed(places: Sequence[Place], before: object) -> str:
    """Return up to PLACES_SHOWN of the places as text, and the number of the others."""
    shown = ", ".join(place_of(_with_ids(place, before)) for place in places[:PLACES_SHOWN])
    return shown + (f" and {len(places) - PLACES_SHOWN} more" if len(places) > PLACES_SHOWN else "")


def _with_ids(place: Place, before: Any) -> Place:  # noqa: ANN401 - any value of a file
    """Return the place with the id of a list's item, such as a budget, in place of its index."""
    parts: list[str | int] = []
    for part in place:
        before = before[part]
        item_id = before.get(ID) if isinstance(part, int) and isinstance(before, Mapping) else None
        parts.append(item_id if isinstance(item_id, str) else part)
    return tuple(parts)


def _has_end_mark(content: bytes) -> bool:
    return content.rstrip().endswith(b"\n" + END_MARK)


def _agent_policy(content: bytes) -> Any:  # noqa: ANN401 - any value of a file
    """Return the value of the key agent_policy; None when the file is invalid or has no such key."""
    try:
        value = read_yaml(content, "").value
    except PolicyInvalidError:  # it was valid for an older Placet
        return None
    return value.get(TOP_KEY) if isinstance(value, dict) else None
