"""Recorded decisions over several pages of a query."""

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
"""Ids that a tail remembers. Older ones are far behind the last page that it reads."""


def newest(client: AuditClient, query: Query, limit: int) -> list[RecordedDecision]:
    """Return the newest decisions, newest first."""
    size = min(limit, PAGE_SIZE_MAX)
    decisions = (decision for page in _pages(client, replace(query, page_size=size)) for decision in page.decisions)
    return list(islice(decisions, limit))


class Tail:
    """The newest decisions in `first`, then new ones with each call of `more`; all oldest first."""

    def __init__(self, client: AuditClient, query: Query, limit: int) -> None:
        size = max(limit, PAGE_SIZE_DEFAULT)
        decisions = newest(client, query, size)
        self._client = client
        self._query = query
        if len(decisions) == size:  # older decisions exist, which are not new
            self._query = replace(query, decided_from=_just_after(decisions[-1]))
        self._seen = dict.fromkeys(recorded.decision.decision_id for recorded in reversed(decisions))
        self.first = decisions[:limit][::-1]

    def more(self) -> list[RecordedDecision]:
        """Return the decisions since the last call.

        Reads pages until one has no new decision, because a replica may record later than another one that decided
        after it.
        """
        fresh: list[RecordedDecision] = []
        for page in _pages(self._client, self._query):
            new = [recorded for recorded in page.decisions if recorded.decision.decision_id not in self._seen]
            fresh += new
            if not new:
                break
        fresh.reverse()
        self._seen.update((recorded.decision.decision_id, None) for recorded in fresh)
        for old in list(islice(self._seen, max(0, len(self._seen) - SEEN_MAX))):
            del self._seen[old]
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
