"""docs/how-to/sdk.md: its examples work against a real server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from placet import sdk
from tests.docs.blocks import blocks
from tests.docs.tables import DOCS, by_name

if TYPE_CHECKING:
    import pytest

    from tests.serving import Server

PAGE = DOCS / "how-to/sdk.md"


def test_the_story_runs(placet_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    examples = [block.text for block in blocks(PAGE) if block.language == "python"]
    scope: dict[str, Any] = {}
    for text in examples:
        exec(text.replace("127.0.0.1:7070", placet_server.address), scope)  # noqa: S102 - the document's own example
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("require_approval approvals.required ")
    assert printed[-3:] == [
        '{"amount":"45.00","charge":"ch_42","currency":"USD","customer_id":"cus_42"}',
        "approved",
        "False False () ()",
    ]
    assert scope["decision"].rule_id == "approvals.granted"


def test_every_class_that_it_names_is_there() -> None:
    named = [
        word for word in (*by_name(PAGE, "Call Placet from Python"), *by_name(PAGE, "Errors")) if word != "nothing"
    ]
    assert named
    for word in named:
        assert all(hasattr(sdk, name) for name in re.findall(r"\w+", word)), word


def test_every_client_is_named() -> None:
    rows = " ".join(by_name(PAGE, "Call Placet from Python"))
    assert [name for name in sdk.__all__ if name.endswith("Client") and name not in rows] == []
