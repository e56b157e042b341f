"""Pages of the trail, put together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from placet.sdk import AuditClient, Page, Query, RecordedDecision

SEEN_MAX: Final = 20_000
"""Ids that a tail remembers; older ones are far behind the page at which it stops to look."""


def newest(client: AuditClient, query: Query, limit: int) -> list[RecordedDecision]:
    """The newest decisions, newest first, over as many pages as it takes."""
    size = min(limit, PAGE_SIZE_MAX)
    every = (each for page in _pages(client, replace(query, page_size=size)) for each in page.decisions)
    return list(islice(every, limit))


class Tail:
    """The newest decisions, and whatever is decided after: `first`, then `more` as often as wanted; oldest first."""

    def __init__(self, client: AuditClient, query: Query, limit: int) -> None:
        size = max(limit, PAGE_SIZE_DEFAULT)
        found = newest(client, query, size)
        self._client = client
        self._query = query
        if len(found) == size:  # there are older ones, which are no news
            self._query = replace(query, decided_from=_just_after(found[-1]))
        self._seen = {each.decision.decision_id: None for each in reversed(found)}
        self.first = found[:limit][::-1]

    def more(self) -> list[RecordedDecision]:
        """What was decided since.

        Looks back until a page holds nothing new: a replica may record behind what another one recorded before.
        """
        fresh: list[RecordedDecision] = []
        for page in _pages(self._client, self._query):
            new = [each for each in page.decisions if each.decision.decision_id not in self._seen]
            fresh += new
            if not new:
                break
        fresh.reverse()
        self._seen.update((each.decision.decision_id, None) for each in fresh)
        for stale in list(islice(self._seen, max(0, len(self._seen) - SEEN_MAX))):
            del self._seen[stale]
        return fresh


def _just_after(recorded: RecordedDecision) -> datetime | None:
    decided_at = recorded.decision.decided_at
    return decided_at + timedelta(microseconds=1) if decided_at else None


def _pages(client: AuditClient, query: Query) -> Iterator[Page]:
    while True:
        page = client.query(query)
        yield page
        if not page.next_page_token:
            return
        query = replace(query, page_token=page.next_page_token)
