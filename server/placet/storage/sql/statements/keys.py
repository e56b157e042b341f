"""SQL for idempotency keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, func, select

from placet.storage.sql.schema import idempotency_keys
from placet.storage.sql.statements.text import equals, first

if TYPE_CHECKING:
    from placet.storage.sql.statements.text import ToText

_keys: Final = idempotency_keys.c
_KEY: Final = (_keys.tenant, _keys.caller, _keys.idempotency_key)


class KeyStatements:
    """Statements on the table idempotency_keys. A key is tenant, caller, idempotency_key."""

    def __init__(self, text: ToText) -> None:
        self.stored = text(
            select(
                _keys.request_digest,
                _keys.decision_id,
                _keys.writer,
                _keys.sequence,
                _keys.replaced_id,
                _keys.decided_at_us,
            ).where(*equals(*_KEY))
        )
        """What is stored under a key. Parameters: the key."""
        self.delete = text(delete(idempotency_keys).where(*equals(*_KEY)))
        """Parameters: the key."""
        self.delete_replaced = text(delete(idempotency_keys).where(*equals(*_KEY, _keys.decision_id)))
        """Parameters: the key, and the decision that it must still refer to."""
        self.decided_before = text(
            first(
                select(*_KEY, _keys.decided_at_us)
                .where(_keys.decided_at_us < bindparam("before"))
                .order_by(_keys.decided_at_us)
            ).with_for_update(skip_locked=True)  # two replicas purge different keys
        )
        """Keys with decided_at_us, the earliest first. Parameters: before when, how many."""
        self.count = text(select(func.count()).select_from(idempotency_keys))
        """How many keys there are. No parameters."""
