"""A server whose callers are not authenticated says so, at start and again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from placet.server import background
from tests.serving import serving, settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("unsafe", [True, False])
def test_the_log_repeats_what_is_unsafe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *, unsafe: bool
) -> None:
    monkeypatch.setattr(background, "UNSAFE_SECONDS", 0.05)
    logged = ""
    with serving(settings(tmp_path, log_level="warning", unsafe_no_auth=unsafe)):
        deadline = time.monotonic() + (20 if unsafe else 0.5)
        while logged.count("callers not authenticated") < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
            logged += capfd.readouterr().err
    assert (logged.count("callers not authenticated") >= 3) is unsafe
