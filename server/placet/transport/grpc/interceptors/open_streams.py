"""The open streams of authenticated callers. Each ends soon after its credential has ended or was revoked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import UnauthenticatedError
from placet.kernel.model import Caller
from placet.scheduling.slices import pause
from placet.transport.grpc.interceptors.guessing import GuessDelay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from placet.identity.ports import Authenticator, Credentials
    from placet.transport.grpc.interceptors.refused_access import RefusedAccessRecorder

CHECK_SECONDS: Final = 0.9
"""Interval of the checks. With the lease of access tokens, a stream ends within two seconds of a revocation."""
_OPENED: Final = "AuthorizeStream"
"""The method whose streams send requests."""
_TOGETHER: Final = 32
"""Streams that are checked without a pause: some hundred microseconds."""


class OpenStreams:
    """Authenticates the caller of each open stream again and again. For one event loop.

    One task checks all streams: a timer for each would cost more than the checks.
    """

    def __init__(self, authenticator: Authenticator, refusals: RefusedAccessRecorder | None = None) -> None:
        self._authenticator = authenticator
        self._refusals = refusals
        self.guesses = GuessDelay()
        self._open: dict[object, tuple[Credentials, Callable[[Exception], None]]] = {}
        self._checking: asyncio.Task[None] | None = None

    async def authenticate(self, credentials: Credentials) -> Caller:
        """Return the caller that the credentials prove, who may then open a stream. Raises UnauthenticatedError."""
        try:
            return (await self._authenticator.authenticate(credentials)).caller
        except UnauthenticatedError as error:
            await self.guesses.after(error, credentials.peer)
            if self._refusals is not None:
                await self._refusals.record(Caller(peer=credentials.peer), _OPENED, None, error)
            raise

    @contextlib.contextmanager
    def checked(
        self, credentials: Credentials, end: Callable[[Exception], None]
    ) -> Iterator[Callable[[], Awaitable[None]]]:
        """Check the stream for the duration of the block. `end` receives why its caller is no longer authenticated.

        Yields a function that checks it at once.
        """
        stream = object()
        self._open[stream] = credentials, end
        if self._checking is None:
            self._checking = asyncio.create_task(self._check_all(), name="placet-open-streams")
        try:
            yield lambda: self._check(stream)
        finally:
            self._open.pop(stream, None)
            if not self._open and self._checking is not None:
                self._checking.cancel()
                self._checking = None

    @contextlib.contextmanager
    def cancelling(self, credentials: Credentials) -> Iterator[None]:
        """Check the stream whose task runs the block, and cancel the block with the error if a check fails."""
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a stream is a task")
        errors: list[Exception] = []

        def end(error: Exception) -> None:
            errors.append(error)
            task.cancel()

        with self.checked(credentials, end):
            try:
                yield
            except asyncio.CancelledError:
                if not errors or task.uncancel():  # the caller is gone, or was cancelled as well
                    raise
                raise errors[0] from None

    async def _check_all(self) -> None:
        while self._open:
            await asyncio.sleep(CHECK_SECONDS)
            for number, stream in enumerate(list(self._open), 1):
                await self._check(stream)
                if not number % _TOGETHER:
                    await pause()

    async def _check(self, stream: object) -> None:
        credentials, end = self._open.get(stream, (None, None))
        if credentials is None or end is None:
            return
        try:
            await self._authenticator.authenticate(credentials)
        except Exception as error:  # noqa: BLE001 - ends the stream, which answers with it
            if self._open.pop(stream, None) is not None:
                end(error)
