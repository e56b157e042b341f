"""How long a refusal takes tells nothing about a secret: libraries compare, or only a hash is looked up."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs
from starlette.requests import Request

from placet.authentication.access_token import AccessTokenVerifier
from placet.kernel.errors import UnauthenticatedError
from placet.sdk import WebhookError, verify_webhook
from placet.tokens.secret import TOKEN_CHARS, digest_of
from placet.tokens.uses import TokenUses
from placet.transport.http.bundle_callers import _has_token
from placet.webhooks.signing import headers, read_secrets
from tests.tokens.token_env import RUNTIME, TokenEnv, asked
from tests.webhooks.receiving import SECRET

if TYPE_CHECKING:
    from placet.tokens.directory import TokenDirectory
    from placet.tokens.model import AccessToken

SHA256_HEX_CHARS = 64


class LookUps:
    """A directory that notes what it is asked for."""

    def __init__(self, directory: TokenDirectory) -> None:
        self._directory = directory
        self.asked: list[str] = []

    async def find(self, digest: str) -> AccessToken | None:
        self.asked.append(digest)
        return await self._directory.find(digest)


async def test_an_access_token_is_looked_up_by_its_hash_alone() -> None:
    env = TokenEnv()
    text, token = await env.tokens.create(asked("ci", RUNTIME), "ann")
    looked_up: Any = LookUps(env.directory)
    verifier = AccessTokenVerifier(looked_up, TokenUses(env.ledger), env.clock)
    assert (await verifier.principal(text, "peer")).token_id == token.token_id
    guesses = [
        text[:-1] + ("0" if text[-1] != "0" else "1"),
        text[:10] + "x" * (TOKEN_CHARS - 10),
        "placet_" + "0" * 49,
    ]
    for guess in (*guesses, text[:-1], text + "0", ""):
        with pytest.raises(UnauthenticatedError):
            await verifier.principal(guess, "peer")
    assert looked_up.asked == [digest_of(one) for one in (text, *guesses)], "a guess of another length is not looked up"
    assert {len(digest) for digest in looked_up.asked} == {SHA256_HEX_CHARS}


async def test_no_text_of_a_token_is_kept_that_could_be_compared() -> None:
    env = TokenEnv()
    text, token = await env.tokens.create(asked("ci", RUNTIME), "ann")
    assert text not in repr(token)
    assert "digest" in structs.asdict(token)
    assert not {"text", "secret"} & set(structs.asdict(token))


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """What the library compares."""
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    return compared


def test_signatures_of_webhooks_are_compared_by_the_library(comparisons: list[tuple[bytes, bytes]]) -> None:
    body = b"{}"
    signed = headers("evt", body, 1_700_000_000, read_secrets(SECRET))
    forged = {**signed, "webhook-signature": "v1," + "A" * 43 + "= " + signed["webhook-signature"][:-2] + "A="}
    with pytest.raises(WebhookError, match="bad_signature"):
        verify_webhook(forged, body, SECRET, now=1_700_000_000)
    assert len(comparisons) == 2, "each of them, also after one that matches"


@pytest.mark.parametrize("presented", ["pull", "pusH", "push", "x", ""])
def test_tokens_of_the_bundle_server_are_compared_by_the_library(
    comparisons: list[tuple[bytes, bytes]], presented: str
) -> None:
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {presented}".encode())]}
    assert _has_token(Request(scope), "pull", "push") is (presented in {"pull", "push"})
    assert comparisons == [(presented.encode(), b"pull"), (presented.encode(), b"push")]
