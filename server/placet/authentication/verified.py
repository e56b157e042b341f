"""Remembers verified tokens, so that the second call with a token costs a hash and a look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from placet.kernel.limits import VERIFIED_TOKENS_MAX

if TYPE_CHECKING:
    from placet.authentication.issuer_keys import IssuerKeys
    from placet.authentication.jwks import VerificationKey

Proven = TypeVar("Proven")


class Verified(Struct, Generic[Proven]):
    """What a token proved."""

    proven: Proven
    expires_at_us: int
    key: VerificationKey
    keys: IssuerKeys
    """The keys of its issuer: it counts as long as its key is one of them."""


class VerifiedTokens(Generic[Proven]):
    """Verified tokens by the SHA-256 of their text. Only tokens that were verified are added, at most `size`."""

    def __init__(self, size: int = VERIFIED_TOKENS_MAX) -> None:
        self._size = size
        self._tokens: dict[bytes, Verified[Proven]] = {}

    def get(self, digest: bytes, now_us: int) -> Verified[Proven] | None:
        """Return what the token proved; None if it was not verified, has expired, or its key is no longer trusted."""
        verified = self._tokens.get(digest)
        if verified is None:
            return None
        if now_us < verified.expires_at_us and verified.keys.trusts(verified.key, now_us):
            return verified
        del self._tokens[digest]
        return None

    def add(self, digest: bytes, verified: Verified[Proven]) -> None:
        """Remember a token. The one that was added first makes room."""
        if len(self._tokens) >= self._size and digest not in self._tokens:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[digest] = verified

    def __len__(self) -> int:
        return len(self._tokens)
