"""Follows the certificate files of the listeners."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError
from placet.server.tasks import periodic

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from placet.server.observer import ServerObserver
    from placet.transport.tls import ServerTls

CERTIFICATE_SECONDS: Final = 2.0
"""Interval at which changed certificate files are looked for."""


def follow_certificates(tls: ServerTls, observer: ServerObserver) -> Callable[[], Coroutine[object, object, None]]:
    """Return a loop that reads certificate files when they change, and reports when the certificate expires."""
    observer.certificates(tls.not_after, reloaded=False)

    async def refresh() -> None:
        try:
            if await asyncio.to_thread(tls.refresh):
                observer.certificates(tls.not_after, reloaded=True)
        except ConfigurationError as error:
            observer.certificates_unusable(str(error))

    return periodic(CERTIFICATE_SECONDS, refresh, observer)
