"""The blocking clients are generated from the asyncio ones, and both have the same methods."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from placet import sdk

ROOT = Path(__file__).parents[2]
CLIENTS = ["ApprovalClient", "AuditClient", "Client", "ControlClient"]


def test_the_blocking_clients_are_as_generated() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/tools/sync_sdk.py", "--check"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", CLIENTS)
def test_both_have_the_same_methods_and_arguments(name: str) -> None:
    blocking, asyncio = getattr(sdk, name), getattr(sdk, f"Async{name}")
    methods = {method for method in dir(blocking) if not method.startswith("_")}
    assert {method for method in dir(asyncio) if not method.startswith("_")} == methods
    for method in methods:
        signatures = [
            list(inspect.signature(getattr(kind, method)).parameters.values()) for kind in (blocking, asyncio)
        ]
        assert signatures[0] == signatures[1]


@pytest.mark.parametrize("name", [*CLIENTS, *(f"Async{name}" for name in CLIENTS)])
def test_every_method_is_documented_in_its_own_words(name: str) -> None:
    kind = getattr(sdk, name)
    texts = [kind.__doc__, *(getattr(kind, method).__doc__ for method in dir(kind) if not method.startswith("_"))]
    assert all(texts)
    if not name.startswith("Async"):
        plain = [" ".join(text.split()).replace("an asyncio client had been used", "") for text in texts]
        assert not [text for text in plain if "async" in text.lower()]
