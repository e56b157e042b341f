"""OPA's memory limit grows with its bundle."""

from __future__ import annotations

import gc

from placet.engine.process import memory_limit
from placet.kernel.collector import keep_from_collector
from placet.policy.files.archive import pack


def test_a_small_bundle_has_the_least_limit() -> None:
    assert memory_limit(pack({"/data.json": b"{}"})) == "512MiB"


def test_a_large_bundle_has_a_multiple_of_its_files() -> None:
    limit = memory_limit(pack({"/data.json": b" " * 64 * 2**20}))
    assert limit in {"1024MiB", "1025MiB"}


def test_what_lives_for_long_is_excluded_from_collections_only_in_a_server() -> None:
    assert gc.get_freeze_count() == 0
    keep_from_collector()
    assert gc.get_freeze_count() == 0
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        policies = [{} for _ in range(10)]  # type: ignore[var-annotated]
        keep_from_collector()
        assert gc.get_freeze_count() > before
        assert policies
    finally:
        gc.unfreeze()
