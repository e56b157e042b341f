"""Finds a pooler that gives the transactions of one session to several sessions of PostgreSQL, and refuses it.

Behind such a pooler, nothing that a session holds can be relied on: the lock of a replica's name, the limits on waits,
the pinned synchronous_commit, prepared statements and notifications. What Placet set would even hold for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg
    from psycopg.rows import TupleRow

    Session = psycopg.Connection[TupleRow]

_TRIES: Final = 20
"""Where many use the pooler, some tries show nothing: others had the process in between."""
_PID: Final = "SELECT pg_backend_pid()"
_found_whole: Final[set[str]] = set()
"""URLs at which sessions were found to be whole in this process."""


def require_own_session(session: Session, open_another: Callable[[], Session], url: str, where: str) -> None:
    """Raise ConfigurationError when a pooler splits the session. Sets nothing in it.

    A direct connection costs one round trip. Behind a pooler a second session is opened: in one that is split, its
    transactions meet the process of PostgreSQL that served the first.
    """
    if _pid(session) == session.info.backend_pid:  # what PostgreSQL itself said when it accepted the connection
        return
    with open_another() as another:
        if any(_is_split(session, another) for _ in range(_TRIES)):
            raise ConfigurationError(
                f"{where}: is behind a pooler in transaction mode, where the lock of a replica's name and other parts "
                "of a session do not hold; connect to PostgreSQL directly, or set the pooler to session mode "
                "(PgBouncer: pool_mode = session)"
            )
    _found_whole.add(url)


def is_known_whole(url: str) -> bool:
    """Return whether a session at the URL was found to be whole before."""
    return url in _found_whole


def _is_split(session: Session, another: Session) -> bool:
    """Return whether both sessions are served by one process, or one of them by several."""
    before = _pid(session)
    with another.transaction():
        return before == _pid(another) or before != _pid(session)


def _pid(session: Session) -> int:
    row = session.execute(_PID, prepare=False).fetchone()
    if row is None:
        raise AssertionError("a SELECT without FROM has one row")
    return int(row[0])
