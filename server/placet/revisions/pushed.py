"""Who published a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pusher:
    """Who published a policy, as the server says that took it. Both are empty when it is not known."""

    caller: str = ""
    """Id of the authenticated caller."""
    person: str = ""
    """Id of the person who called; empty for a program."""

    @property
    def name(self) -> str:
        """The person, or else the program; empty when neither is known."""
        return self.person or self.caller


UNKNOWN_PUSHER: Final = Pusher()
"""It is not known who published a policy."""
