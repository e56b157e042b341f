"""Keep what lives for long out of Python's garbage collections, which stop the whole process."""

from __future__ import annotations

import gc


def keep_from_collector() -> None:
    """Exclude all present objects from garbage collection, in a server that excluded those of its start.

    They are still freed when nothing refers to them any more, unless they refer to each other in a circle.
    """
    if gc.get_freeze_count():
        gc.freeze()
