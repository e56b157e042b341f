"""What a permit says, and how its keys are published."""

from __future__ import annotations

import base64
import json

from placet.kernel.limits import PERMIT_KEY_OVERLAP_SECONDS, PERMIT_TTL_SECONDS
from placet.kernel.model import Action, BudgetState, Decision, Effect, Identity, Model, Proposal, Run
from placet.permits.claims import PermitKey, jwk_set, permit_claims
from tests.support.replacing import replace

DECIDED_AT_US = 1_777_055_581_999_999
PROPOSAL = Proposal(
    idempotency_key="k",
    action=Action("stripe.refund", b"{}", dry_run=True),
    identity=Identity("refund-ägent", "acme", "u_4812"),
    run=Run("run_1"),
    model=Model(),
    evidence=(),
    document=b"{}",
    action_digest="ab" * 32,
    request_digest="cd" * 32,
)
ALLOW = Decision("dec_1", Effect.ALLOW, "r", "Because", (), "rev1", "ab" * 32, 0, DECIDED_AT_US)


def test_it_says_what_was_allowed_to_whom_and_until_when() -> None:
    budgets = (BudgetState("per_user", "amount:USD", 5_000, 500, 4_500), BudgetState("per_run", "calls", 9, 1))
    decision = replace(ALLOW, budgets=budgets)
    claims = json.loads(permit_claims(decision, PROPOSAL))
    assert claims == {
        "action_digest": "ab" * 32,
        "agent": "refund-ägent",
        "aud": "acme",
        "budgets": [{"id": "per_user", "reserved": 4500, "unit": "amount:USD"}],
        "dry_run": True,
        "exp": 1_777_055_581 + PERMIT_TTL_SECONDS,
        "iat": 1_777_055_581,
        "iss": "placet",
        "jti": "dec_1",
        "policy_revision": "rev1",
        "run_id": "run_1",
        "tenant": "acme",
        "tool": "stripe.refund",
    }


def test_the_same_decision_has_the_same_claims_to_the_byte() -> None:
    again = replace(PROPOSAL, idempotency_key="another", model=Model("gpt"))
    assert permit_claims(ALLOW, PROPOSAL) == permit_claims(replace(ALLOW), again)


def test_a_key_verifies_long_after_it_signed_its_last() -> None:
    assert PermitKey("k", b"", 100, 200).verifies_until == 200 + PERMIT_KEY_OVERLAP_SECONDS
    assert PermitKey("k", b"", 100).verifies_until == 0


def test_keys_are_published_as_a_jwk_set_each_once() -> None:
    keys = [
        PermitKey("a", bytes(range(32)), 1, 2),
        PermitKey("b", b"\xff" * 32, 2),
        PermitKey("a", bytes(range(32)), 1),
    ]
    first, second = json.loads(jwk_set(keys))["keys"]
    assert first == {
        "alg": "EdDSA", "crv": "Ed25519", "kid": "a", "kty": "OKP", "use": "sig",
        "x": base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("="),
    }  # fmt: skip
    assert second["kid"] == "b"
    assert "=" not in second["x"]
