"""The releases that an external OPA may serve, and how long decisions wait for one of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from placet.policy.bundles.bundle import Bundle

ACCEPTED_MAX: Final = 8
"""How many accepted releases may wait for OPA beside the served one."""


class AcceptedReleases:
    """The served release, and those that were accepted after it, in that order. OPA must not go back before it."""

    def __init__(self) -> None:
        self._bundles: dict[str, Bundle] = {}  # by revision

    @property
    def newest(self) -> Bundle | None:
        """The release that was accepted last."""
        return next(reversed(self._bundles.values()), None)

    def get(self, revision: str) -> Bundle | None:
        """Return the release of a revision; None when it is not among them."""
        return self._bundles.get(revision)

    def accept(self, bundle: Bundle) -> None:
        """Let OPA serve the release from now on."""
        self._bundles.pop(bundle.revision, None)
        self._bundles[bundle.revision] = bundle
        for revision in list(self._bundles)[1:-ACCEPTED_MAX]:  # the first may be the served one
            del self._bundles[revision]

    def serve(self, revision: str) -> None:
        """Forget the releases before the revision, which OPA serves."""
        for earlier in list(self._bundles):
            if earlier == revision:
                return
            del self._bundles[earlier]


class Following:
    """A revision that OPA answered with, and until when decisions wait for it, in monotonic seconds."""

    def __init__(self, revision: str, until: float) -> None:
        self.revision = revision
        self.until = until
        self.done = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def wait(self, seconds: float) -> None:
        """Wait until it is done, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.done.wait()

    def close(self) -> None:
        """Stop looking for it."""
        self.done.set()
        if self.task is not None:
            self.task.cancel()
