"""Text in plain form is each character in its plain form, wherever in a long text it stands."""

from __future__ import annotations

import pytest

from placet.privacy.plain_text import as_latin, plain, plain_latin

TEXTS = [
    "",
    "x" * 1_000,
    "\u0661" * 1_000,
    "x" * 255 + "\uff11\u200b2" + "y" * 300,
    "\u0430\ud800" + "z" * 600 + "\u00e9",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("form", [plain, as_latin, plain_latin])
def test_a_long_text_is_as_its_characters_are(form: object, text: str) -> None:
    assert callable(form)
    assert form(text) == "".join(form(each) for each in text)
