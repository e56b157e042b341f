"""The text of access tokens."""

from __future__ import annotations

import hashlib
import re

import pytest

from placet.privacy.id_secrets import secret_in_id
from placet.privacy.redaction import redact_text
from placet.tokens.secret import SECRET_CHARS, TOKEN_CHARS, digest_of, is_well_formed, new_token

FORM = re.compile(r"placet_[0-9A-Za-z]{49}")


def test_tokens_have_one_form_and_differ() -> None:
    tokens = {new_token() for _ in range(1_000)}
    assert len(tokens) == 1_000
    assert all(FORM.fullmatch(token) and is_well_formed(token) for token in tokens)


def test_the_letters_hold_256_bits() -> None:
    assert 62**SECRET_CHARS > 2**256
    assert TOKEN_CHARS == 56


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda token: token[:-1], id="truncated"),
        pytest.param(lambda token: token + "0", id="longer"),
        pytest.param(str.swapcase, id="other case"),
        pytest.param(lambda token: token.replace("placet_", "PLACET_"), id="other prefix"),
        pytest.param(lambda token: token[:10] + ("A" if token[10] != "A" else "B") + token[11:], id="one letter"),
        pytest.param(lambda token: token[:-1] + "\udc80", id="no text"),
        pytest.param(lambda token: token[:-1] + "\u0661", id="another digit"),
        pytest.param(lambda _: "placet_", id="only the prefix"),
        pytest.param(lambda _: "", id="nothing"),
    ],
)
def test_other_texts_are_not_well_formed(change: object) -> None:
    token = new_token()
    assert callable(change)
    assert not is_well_formed(change(token))
    assert digest_of(change(token)) != digest_of(token)


def test_the_digest_is_sha256() -> None:
    token = new_token()
    assert digest_of(token) == hashlib.sha256(token.encode()).hexdigest()


def test_tokens_are_secrets_wherever_they_appear() -> None:
    token = new_token()
    assert redact_text(f"use {token} please") == "use [redacted:api_key] please"
    assert secret_in_id(token) == "an API key"
