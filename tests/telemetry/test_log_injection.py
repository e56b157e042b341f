"""No text in a log entry can look like another entry, or control the terminal that shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import structlog

from placet.telemetry.log import configure

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = (
    'x\n2026-01-01T00:00:00Z [error    ] forged\r\x1b[31m\x9b31m\x7f\u202eevil\u2028\u200b\x07\n{"event":"forged"}'
)


@pytest.fixture(autouse=True)
def defaults_afterwards() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(form: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of a few entries with hostile texts."""
    log = configure("info", form)
    log.warning("access refused", cause=HOSTILE, tenants=[HOSTILE], more={HOSTILE: HOSTILE})
    log.error("internal error", exc_info=ValueError(HOSTILE))
    output = capsys.readouterr().err
    assert "evil" in output
    assert all(char == "\n" or char.isprintable() for char in output)
    return output.splitlines()


def test_json_has_one_line_for_each_entry(capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged("json", capsys)
    assert [json.loads(line)["event"] for line in lines] == ["access refused", "internal error"]
    assert json.loads(lines[0])["cause"] == HOSTILE


def test_text_begins_a_line_only_for_an_entry(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *exception = logged("text", capsys)
    assert "access refused" in first
    assert "internal error" in second
    assert exception
    assert all(line.startswith("    ") for line in exception)
