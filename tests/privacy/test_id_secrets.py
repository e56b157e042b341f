"""What is refused in an id, and what real agents are called."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.privacy import id_secrets
from placet.privacy.cards import is_card
from placet.privacy.id_secrets import secret_in_id

S = "Kanarien0f3a9b"
SECRETS = [
    *(f"password={S}", f"token={S}", f"bot token={S}", f"x;PASSWORD = '{S}'", f"api_key={S}", f"apiKey%3D{S}"),
    *(f"https://example.org/?access_token={S}", f"run?client_secret={S}", f"pwd={S}", f"ssn={S}"),
    *(f'{{"password":"{S}"}}', f"{{'token': '{S}'}}", f"bot --token {S}", f"password: {S}", f"jwt={S}"),
    *(f"arn:aws:secretsmanager:eu-west-1:1234:secret:token={S}", f"auth={S}", f"sid={S}", f"\uff54oken={S}"),
    *(f"https://u:{S}@example.org/", "Bearer abcdef0123456789", "user Basic dXNlcjpwYXNzd29yZA=="),
    *("AKIAIOSFODNN7EXAMPLE", "bot-AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1" * 18, "github_pat_" + "a1" * 20),
    *("SG." + "a1B2c3D4e5F6g7H8i9J0kL" + "." + "x" * 43, "dop_v1_" + "0a" * 32, "hf_" + "aB3" * 12),
    *("xoxb-" + "123456789012-abcdef", "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc", "sk-proj-4eC39HqLyjWDarjtT1zdp7dc"),
    *("AIza" + "Sy4eC39HqLyjWDarjtT1zdp7dc_-4eC39Hq", "glpat-" + "a1" * 12, "npm_" + "a1" * 18),
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "hooks.slack.com/services/" + "T00000000/B00000000/XXXXXXXX",
    "-----BEGIN PRIVATE KEY----- MIIE",
    *(
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "card-4111-1111-1111-1111",
        "3782 822463 10005",
        "2223-0031-2200-3222",
    ),
    "\uff14\uff11\uff11\uff11 1111 1111 1111",
]
IDS = [
    *("refund-bot", "u_4812", "support agent", "billing.agent:v2", "customer-support/triage", "langgraph", "crewai"),
    *(
        "ops@acme.example",
        "mailto:ops@acme.example",
        "anna.müller@example.org",
        "\u0430\u043d\u043d\u0430",
        "エージェント",
    ),
    *(
        "5f0c9a2e-1c1b-4b57-9d3e-123456789012",
        "41111111-1111-4111-8111-111111111111",
        "aaaa4111-1111-1111-1111-aaaaaaaaaaaa",  # groups of digits that would be a card number by themselves
        "req_AAAA5555-5555-5555-4444-FFFFFFFFFFFF",
        "urn:uuid:" + str(uuid.UUID(int=7)),
    ),
    *(
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa-01",
    ),
    *("4111111111111111", "5555555555554444", "378282246310005", "1777055581123456", "2026-04-24T18:33:01.123456Z"),
    *("spiffe://example.org/ns/prod/sa/token-agent", "spiffe://auth/token/secret", "https://idp.example.org/users/7"),
    *("arn:aws:iam::123456789012:role/Agent", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"),
    *("arn:aws:sts::123456789012:assumed-role/auth/session-1", "AROAIOSFODNN7EXAMPLE", "AIDACKCEVSQ6C2EXAMPLE"),
    *("auth0|5f7c8ec7c33c6c004bbafe82", "google-oauth2|103547991597142817347", "00u1a2b3c4D5E6F7g8h9", "samlp|acme|x"),
    *("72f988bf-86f1-41af-91ab-2d7cd011db47", "CN=Agent 7,OU=Bots,DC=acme,DC=example", "uid=jdoe,ou=people"),
    *("S-1-5-21-3623811015-3361044348-30300820-1013", "sid=S-1-5-21-3623811015-3361044348-30300820-1013"),
    *("thread_abc123", "run_2026_04_24_183301", "task_live_20260424183301", "desk_test_0123456789ab", "task-1234-5678"),
    *("token-rotation", "password-reset", "password:reset", "Password: reset", "secret:scanner", "auth=oidc", "pass=2"),
    *(
        "user:auth:session",
        "pin:service",
        "token: refresh",
        "sk-learn-worker-2",
        "sk-learn-trainer-agent-prod-1",
        "disk-usage-agent-2026-04-24-eu",
    ),
    *("deployment.kubernetes.io/revision=4", "system:serviceaccount:default:token-agent", "page_token=abcdef", "eyJ"),
    *("projects/7/serviceAccounts/a@b.iam.gserviceaccount.com", "repo:acme/app:ref:refs/heads/main", "+49 30 1234567"),
    *("DE89370400440532013000", "0000 4111 1111 1111 1111", "4111-1111-1111-1111-1111", "4111 1111 1111 1112"),
    *("tenant:acme;env=prod;step=4", "k=v", "a=b", 'W/"etag"', "cus_NffrFeUfNV2Hib", "pi_3MtwBwLkdIwHu7ix28a3tqPa"),
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "agent {}", "{} x"])
def test_what_is_certain_is_found(secret: str, around: str) -> None:
    kind = secret_in_id(around.format(secret))
    assert kind
    assert S not in kind


@pytest.mark.parametrize("value", IDS)
def test_what_real_ids_look_like_is_left(value: str) -> None:
    assert secret_in_id(value) == ""


@given(st.uuids())
def test_no_uuid_is_a_secret(value: uuid.UUID) -> None:
    assert [secret_in_id(each) for each in (str(value), value.hex, value.urn, str(value.int))] == [""] * 4


@given(st.integers(0, 10**19))
def test_no_number_is_a_secret(number: int) -> None:
    assert secret_in_id(str(number)) == ""
    assert secret_in_id(f"u_{number}") == ""


@given(st.text("0123456789abcdef", min_size=8, max_size=64))
def test_no_hex_is_a_secret(value: str) -> None:
    assert secret_in_id(value) == ""


@given(st.uuids(), st.text("0123456789abcdef", min_size=8, max_size=64))
def test_hex_needs_no_closer_examination(value: uuid.UUID, digits: str) -> None:
    """The detectors find nothing in what `secret_in_id` returns at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_secrets, "_HEX_ID", re.compile(r"(?!)"))
        assert [secret_in_id(each) for each in (str(value), value.hex, digits)] == [""] * 3


def test_the_numbers_that_pass_are_cards_by_luhn() -> None:
    """So that the ids above are what they are meant to be."""
    assert is_card("4111111111111111")
    assert is_card("5555555555554444")
