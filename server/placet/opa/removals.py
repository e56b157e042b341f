"""What a policy lost against the one that is served, when it looks as if files had lost their end, or were lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from placet.core.errors import PolicyInvalidError
from placet.core.faults import place_of
from placet.core.policy_removals import lost_restrictions
from placet.opa.rule_places import RulePlaces
from placet.opa.strict_yaml import read_yaml
from placet.opa.tenants import TOP_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from placet.opa.tree import PolicyTree

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
        *_rules_gone(served, new),
    )


def _gone(served: PolicyTree, new: PolicyTree) -> Iterator[str]:
    """Files of rules and their data that are not there, when there are no new ones in their place."""
    for kind, before, after in (("rules", served.modules, new.modules), ("data", served.raw_data, new.raw_data)):
        if not after.keys() - before.keys():
            for name in sorted(before.keys() - after.keys()):
                yield f"{new.where(name)}: is gone, with its {kind}"


def _rules_gone(served: PolicyTree, new: PolicyTree) -> Iterator[str]:
    """Rules that deny or ask for approval and are in no module any more; but for those that went with a file told."""
    added = new.modules.keys() - served.modules.keys()
    before, after = RulePlaces(served.modules).restricting, RulePlaces(new.modules).restricting
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
        places = lost_restrictions(_value(before[name]), _value(after[name]))
        if places:
            shown = ", ".join(place_of(place) for place in places[:PLACES_SHOWN])
            more = f" and {len(places) - PLACES_SHOWN} more" if len(places) > PLACES_SHOWN else ""
            yield f"{new.where(name)}: lost restrictions: {shown}{more}"


def _marked(content: bytes) -> bool:
    return content.rstrip().endswith(b"\n" + END_MARK)


def _value(content: bytes) -> Any:  # noqa: ANN401 - whatever the file says
    try:
        value = read_yaml(content, "").value
    except PolicyInvalidError:  # it was served once, by other rules
        return None
    return value.get(TOP_KEY) if isinstance(value, dict) else None
