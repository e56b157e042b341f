"""Why a policy that was read is not served, and until when, for every source of policy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError, PolicyInvalidError, PolicyUnreadableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from placet.engine.source import PolicyReader

CONFIRMATION_INTERVAL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a policy is not served."""

    why: str
    seen: bool = True
    """Whether the policy was read. A served policy ages only while none can be read."""


async def load_or_refuse(
    load: Callable[[], Awaitable[bool]], reader: PolicyReader, on_error: Callable[[BaseException], None]
) -> bool | Refused:
    """Return what `load` returns, or why it refused the policy. Whatever a policy breaks, the served one stays.

    The reader reads again what may be readable later. `on_error` receives internal errors.
    """
    try:
        return await load()
    except (PolicyUnreadableError, OSError) as error:
        reader.forget()  # not an error of the policy: the next check tries again
        return refused_by(error)
    except PolicyInvalidError as error:
        return refused_by(error)
    except ConfigurationError as error:
        reader.forget()
        return refused_by(error)
    except Exception as error:  # noqa: BLE001 - the served policy stays
        on_error(error)
        return Refused(_as_text(f"internal error while loading: {type(error).__name__}: {error}"))


def refused_by(error: Exception) -> Refused:
    """Return the refusal for an error of reading or of the policy."""
    return Refused(_as_text(str(error)), seen=not isinstance(error, PolicyUnreadableError | OSError))


async def watch_confirmation(
    was_confirmed: Callable[[], Awaitable[bool]], check_now: Callable[[], Awaitable[None]]
) -> None:
    """Call `check_now` soon after a person confirmed the held policy on another replica. Runs until cancelled."""
    while True:
        await asyncio.sleep(CONFIRMATION_INTERVAL_SECONDS)
        if await was_confirmed():
            await check_now()


def _as_text(why: str) -> str:
    """Return text that a record can hold: a file name need not be UTF-8."""
    return why.encode(errors="backslashreplace").decode()
