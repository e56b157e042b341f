"""Defaults and limits of the clients."""

from __future__ import annotations

from typing import Final, Literal

DEFAULT_ADDRESS: Final = "127.0.0.1:7070"
DEFAULT_TIMEOUT_SECONDS: Final = 2.0
"""One call with its retries: a lost packet and a restart of the engine fit, a person does not wait much longer."""
CALL_SECONDS_MAX: Final = 300
"""The most that one call with its retries may be given."""
WAIT_SECONDS_MAX: Final = 604_800
"""The most that a wait, a watch or a check of the whole trail may be given: as long as an approval can be pending."""
READ_TIMEOUT_SECONDS: Final = 10.0
"""One page of a trail, or one look at it."""
VERIFY_TIMEOUT_SECONDS: Final = 600.0
"""A check of the whole trail: minutes for tens of millions of records."""
KILL_TIMEOUT_SECONDS: Final = 30.0
"""Setting a kill switch: it stops at once what it covers, and answers when perhaps thousands of permits are revoked."""
CONFIRM_TIMEOUT_SECONDS: Final = 30.0
"""Confirming a policy: it is built, checked and started before the answer."""

OnFailure = Literal["deny", "raise"]
"""When there is no decision: answer with a deny that carries the `failure`, or raise CallFailedError."""
