"""Redacts JSON values and log lines: by place, by the name of a value, and by what a value looks like.

All texts of a value are examined together, so ten thousand short texts take no longer than one long text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.kernel.limits import SCREEN_PLACES_MAX, STEP_BYTES
from placet.kernel.steps import exhausted
from placet.privacy.assignments import LEAF_END
from placet.privacy.detectors import SECRET, Places, TooMuchToScreenError, candidates, marker
from placet.privacy.plain_text import plain
from placet.privacy.secret_names import VALUES, counts, is_secret, is_secret_pair, may_be_secret, named_secret
from placet.privacy.value_walk import CONTAINERS, NUMBERS, SensitivePlaces, ValueWalk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.kernel.steps import Steps
    from placet.privacy.detectors import Detector

UNSCREENED: Final = marker("unscreened")
"""Replaces a value that has too many places to examine."""
WHY_WHOLE: Final = f"more than {SCREEN_PLACES_MAX} places that may hold sensitive values"


@dataclass(frozen=True, slots=True)
class Redacted:
    """A value without its sensitive parts."""

    value: Any
    changed: bool
    why_whole: str = ""
    """Why the value was replaced as a whole; empty when it was not."""


def redact_json(value: Any, sensitive: tuple[str, ...] = ()) -> tuple[Any, bool]:  # noqa: ANN401 - any JSON value
    """Return the JSON value with sensitive values replaced by markers, and whether any was."""
    redacted = exhausted(redacting(value, sensitive))
    return redacted.value, redacted.changed


def redacting(value: Any, sensitive: tuple[str, ...] = ()) -> Steps[Redacted]:  # noqa: ANN401 - any JSON value
    """Replace the sensitive values of a JSON value by markers, in steps.

    `sensitive` are JSON pointers (RFC 6901), in which ``*`` matches any member or index. A pointer that leads nowhere
    has no effect; one that is neither empty nor begins with a slash raises ValueError. Values under secret names are
    replaced, and so are keys that a detector finds. A value with more than SCREEN_PLACES_MAX places to examine is
    replaced as a whole. The argument is not changed, and the result shares its unchanged parts.
    """
    encoded = orjson.dumps(value)
    detectors = candidates(encoded)
    if not detectors and not sensitive:
        return Redacted(value, changed=False)
    large = len(encoded) > STEP_BYTES
    at = (_places(sensitive),) if sensitive else ()
    walk = ValueWalk(any(detector.name == SECRET for detector in detectors))
    try:
        walk.collect(value, at)
        if large:
            yield
        screened = yield from _screening(LEAF_END.join(walk.texts), detectors, walk.places, large=large)
    except TooMuchToScreenError:
        return Redacted(UNSCREENED, changed=True, why_whole=WHY_WHOLE)
    if large:
        yield
    texts = screened.split(LEAF_END) if walk.texts else []
    if not walk.hides and texts == walk.texts:
        return Redacted(value, changed=False)
    return Redacted(walk.rebuilt(value, at, enumerate(texts, 1)), changed=True)


def values_under_secret_names(value: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON value
    """Yield the values under secret names in a JSON value.

    Raises TooMuchToScreenError when there are too many places to examine.
    """
    places = Places()
    waiting = [value]
    while waiting:
        container = waiting.pop()
        if type(container) is list and is_secret_pair(container):
            yield container[1]
        elif type(container) is list:
            waiting += [item for item in container if type(item) in CONTAINERS]
        elif type(container) is dict:
            if named_secret(container):
                yield from (item for key, item in container.items() if key.lower() in VALUES)
            for key, item in container.items():
                if may_be_secret(key):
                    places.look()
                    if is_secret(key) and not (type(item) in NUMBERS and counts(key)):
                        yield item
                        continue
                if type(item) in CONTAINERS:
                    waiting.append(item)


def redact_text(text: str) -> str:
    """Return the text with each sensitive value replaced by a marker such as ``[redacted:card]``."""
    if not (detectors := candidates(text.encode(errors="replace"))):
        return text
    try:
        return exhausted(_screening(text, detectors, Places(), large=False))
    except TooMuchToScreenError:
        return UNSCREENED


@lru_cache(maxsize=4_096)
def _places(pointers: tuple[str, ...]) -> SensitivePlaces:
    root = SensitivePlaces()
    for pointer in pointers:
        if pointer and not pointer.startswith("/"):
            raise ValueError(f"{pointer!a} is no JSON pointer; it must begin with /")
        place = root
        for token in pointer.split("/")[1:]:
            place = place.members.setdefault(token.replace("~1", "/").replace("~0", "~"), SensitivePlaces())
        place.sensitive = True
    return root


def _screening(text: str, detectors: Sequence[Detector], places: Places, *, large: bool) -> Steps[str]:
    """Replace what the detectors find; return the same object when they find nothing.

    Text beyond ASCII is examined in its plain form, too.
    """
    for detector in detectors:
        text = yield from detector.replacing(text, places)
        if large:
            yield
    plain_text = plain(text)
    if plain_text == text:
        return text
    if large:
        yield
    screened = plain_text
    for detector in detectors:
        screened = yield from detector.replacing(screened, places)
        if large:
            yield
    return text if screened == plain_text else screened
