"""Defaults and limits of the clients. Timeouts are in seconds and cover a call with all its retries."""

from __future__ import annotations

from typing import Final, Literal

DEFAULT_ADDRESS: Final = "127.0.0.1:7070"
"""Address of a server on the same host."""
DEFAULT_TIMEOUT_SECONDS: Final = 2.0
"""Timeout of a call. Long enough for a lost packet or a restart of the policy engine."""
READ_TIMEOUT_SECONDS: Final = 10.0
"""Timeout of a call that reads the audit trail."""
VERIFY_TIMEOUT_SECONDS: Final = 600.0
"""Timeout of a verification of the audit trail, which takes minutes for tens of millions of records."""
KILL_TIMEOUT_SECONDS: Final = 30.0
"""Timeout of setting a kill switch. Before it answers, the server revokes the permits, which can be thousands."""
CONFIRM_TIMEOUT_SECONDS: Final = 30.0
"""Timeout of confirming a policy. The server builds, checks and loads the policy before it answers."""
CALL_SECONDS_MAX: Final = 300
"""Maximum timeout of a call."""
WAIT_SECONDS_MAX: Final = 604_800
"""Maximum timeout of a wait, a watch or a verification: 7 days, which is also the maximum lifetime of an approval."""

OnFailure = Literal["deny", "raise"]
"""How a client reports that it has no decision: a deny whose `failure` is set, or a CallFailedError."""

Transport = Literal["unary", "stream"]
"""How `authorize` sends requests: each as a separate call, or all over one stream."""
