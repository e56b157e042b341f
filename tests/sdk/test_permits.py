"""`verify_permit` accepts only the allowed call, now, for the first time."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import placet.sdk
from placet.permits import claims as core_permit
from placet.sdk import (
    Action,
    Amount,
    Identity,
    Permit,
    PermitError,
    PermitKeySet,
    PermitReason,
    ReplayCache,
    ReservedBudget,
    permits,
    verify_permit,
)
from placet.sdk._permits import token
from tests.sdk.permit_making import ACTION, CLAIMS, IDENTITY, NOW, RUN_ID, Signer, forged

SIGNER = Signer()
KEYS = PermitKeySet(SIGNER.jwks())
HEADERS = {"alg": "EdDSA", "kid": SIGNER.key_id, "typ": "placet-permit+jwt"}


def verify(permit: str, action: Action = ACTION, **changes: Any) -> Permit:
    arguments: dict[str, Any] = {"identity": IDENTITY, "run_id": RUN_ID, "replay": None, "now": NOW}
    return verify_permit(permit, action, KEYS, **(arguments | changes))


def refusal(permit: str, action: Action = ACTION, **changes: Any) -> PermitReason:
    with pytest.raises(PermitError) as caught:
        verify(permit, action, **changes)
    assert str(caught.value) == f"{caught.value.reason}: {caught.value.message}"
    return caught.value.reason


def test_a_valid_permit() -> None:
    assert verify(SIGNER.permit()) == Permit(
        decision_id="dec_1",
        action_digest=CLAIMS["action_digest"],
        tool="stripe.refund",
        tenant="acme",
        agent="refund-agent",
        run_id=RUN_ID,
        policy_revision="rev1",
        dry_run=False,
        budgets=(ReservedBudget("per_user", 4500, "amount:USD"),),
        issued_at=datetime(2026, 4, 24, 18, 33, 1, tzinfo=UTC),
        expires_at=datetime(2026, 4, 24, 18, 34, 1, tzinfo=UTC),
        key_id=SIGNER.key_id,
    )


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (NOW + 60, None),
        (NOW + 64.9, None),
        (NOW + 65, PermitReason.EXPIRED),
        (NOW + 1e9, PermitReason.EXPIRED),
        (float("nan"), PermitReason.EXPIRED),
        (float("inf"), PermitReason.EXPIRED),
        (NOW - 5, None),
        (NOW - 5.1, PermitReason.NOT_YET_VALID),
        (float("-inf"), PermitReason.NOT_YET_VALID),
    ],
)
def test_validity_period_with_leeway(now: float, reason: PermitReason | None) -> None:
    if reason is None:
        assert verify(SIGNER.permit(), now=now).decision_id == "dec_1"
    else:
        assert refusal(SIGNER.permit(), now=now) is reason


def test_validity_period_without_leeway() -> None:
    assert refusal(SIGNER.permit(), now=NOW + 60, leeway_seconds=0) is PermitReason.EXPIRED
    for leeway in (-1, 60.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="leeway_seconds must be 0 to 60"):
            verify(SIGNER.permit(), leeway_seconds=leeway)


def test_the_clock_is_read_if_now_is_none() -> None:
    assert refusal(SIGNER.permit(), now=None) is PermitReason.EXPIRED


@pytest.mark.parametrize(
    "action",
    [
        replace(ACTION, params={"charge": "ch_2", "reason": "duplicate"}),
        replace(ACTION, params={"charge": "ch_1"}),
        replace(ACTION, params='{"charge":"ch_1","reason":"duplicate","more":null}'),
        replace(ACTION, amount=Amount("USD", 4501)),
        replace(ACTION, amount=Amount("EUR", 4500)),
        replace(ACTION, amount=None),
        replace(ACTION, environment="test"),
        replace(ACTION, destination="elsewhere"),
        replace(ACTION, scope="refunds"),
        replace(ACTION, tool_schema_version="2"),
        replace(ACTION, dry_run=True),
    ],
)
def test_another_action(action: Action) -> None:
    assert refusal(SIGNER.permit(), action) is PermitReason.WRONG_DIGEST


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identity": replace(IDENTITY, tenant="globex")}, PermitReason.WRONG_TENANT),
        ({"identity": replace(IDENTITY, agent="other-agent")}, PermitReason.WRONG_AGENT),
        ({"identity": replace(IDENTITY, user="u_1")}, PermitReason.WRONG_DIGEST),
        ({"identity": replace(IDENTITY, roles=[])}, PermitReason.WRONG_DIGEST),
        ({"identity": replace(IDENTITY, delegation=["x"])}, PermitReason.WRONG_DIGEST),
        ({"run_id": "run_2"}, PermitReason.WRONG_RUN),
        ({"run_id": ""}, PermitReason.WRONG_RUN),
        ({"action": replace(ACTION, tool="stripe.payout")}, PermitReason.WRONG_TOOL),
    ],
)
def test_another_identity_run_or_tool(changes: dict[str, Any], reason: PermitReason) -> None:
    assert refusal(SIGNER.permit(), **changes) is reason


def test_equal_json_is_the_same_action() -> None:
    reordered = replace(ACTION, params=' {"reason": "dupl\\u0069cate", "charge": "ch_1"} ')
    again = Identity("refund-agent", "acme", "u_4812", ("support_refunds", "support_refunds"))
    assert verify(SIGNER.permit(), reordered, identity=again).tool == "stripe.refund"


@pytest.mark.parametrize(
    "action",
    [
        replace(ACTION, params='{"charge":"ch_1","charge":"ch_1","reason":"duplicate"}'),
        replace(ACTION, params='{"n":NaN}'),
        replace(ACTION, params='{"n":1e999}'),
        replace(ACTION, params='{"n":9007199254740992}'),
        replace(ACTION, params="[]"),
        replace(ACTION, params=""),
        replace(ACTION, params='{"s":"\\ud800"}'),
        replace(ACTION, params='{"n":' + "[" * 100_000),
        replace(ACTION, params={"n": float("nan")}),
        replace(ACTION, params={1: "one"}),  # type: ignore[dict-item] # wrong on purpose
        replace(ACTION, params={"n": object()}),
    ],
)
def test_an_action_that_no_server_accepts(action: Any) -> None:
    assert refusal(SIGNER.permit(), action) is PermitReason.ACTION_INVALID


@pytest.mark.parametrize(
    ("permit", "reason"),
    [
        (forged(HEADERS | {"alg": "none"}), PermitReason.WRONG_ALGORITHM),
        (forged(HEADERS | {"alg": "None"}), PermitReason.WRONG_ALGORITHM),
        (forged(HEADERS | {"alg": ""}), PermitReason.WRONG_ALGORITHM),
        (forged(HEADERS | {"alg": ["EdDSA"]}), PermitReason.WRONG_ALGORITHM),
        (forged({"kid": SIGNER.key_id, "typ": "placet-permit+jwt"}), PermitReason.WRONG_ALGORITHM),
        (forged(HEADERS | {"alg": "HS256"}, b"\0" * 32), PermitReason.WRONG_ALGORITHM),
        (forged(HEADERS), PermitReason.BAD_SIGNATURE),
        (forged(HEADERS, b"\0" * 64), PermitReason.BAD_SIGNATURE),
        (SIGNER.permit({"typ": "JWT"}), PermitReason.WRONG_TYPE),
        (SIGNER.permit({"typ": "at+jwt"}), PermitReason.WRONG_TYPE),
        (SIGNER.permit({"kid": "key-2"}), PermitReason.UNKNOWN_KEY),
        (SIGNER.permit({"kid": ""}), PermitReason.UNKNOWN_KEY),
        (forged({"alg": "EdDSA", "typ": "placet-permit+jwt"}), PermitReason.MALFORMED),
        (forged(HEADERS | {"kid": 1}), PermitReason.MALFORMED),
        (Signer().permit(), PermitReason.BAD_SIGNATURE),
        (SIGNER.permit({"crit": ["x"], "x": 1}), PermitReason.MALFORMED),
        (SIGNER.signed(b"[]"), PermitReason.MALFORMED),
        (SIGNER.signed(b"no json"), PermitReason.MALFORMED),
        (SIGNER.signed(b"\xff"), PermitReason.MALFORMED),
        (SIGNER.signed(b"[" * 40_000), PermitReason.MALFORMED),
        (SIGNER.signed(b" " * 80_000), PermitReason.MALFORMED),
        (forged([]), PermitReason.MALFORMED),  # type: ignore[arg-type] # wrong on purpose
        ("", PermitReason.MALFORMED),
        ("a.b", PermitReason.MALFORMED),
        ("...", PermitReason.MALFORMED),
        ("permit", PermitReason.MALFORMED),
        ("\ud800.a.b", PermitReason.MALFORMED),
        (None, PermitReason.MALFORMED),
        (SIGNER.permit() + ".x", PermitReason.MALFORMED),
    ],
)
def test_a_token_that_these_keys_did_not_sign(permit: Any, reason: PermitReason) -> None:
    assert refusal(permit) is reason


def test_the_public_key_is_not_accepted_as_an_hmac_secret() -> None:
    unsigned, _, _ = forged(HEADERS | {"alg": "HS256"}).rpartition(".")
    mac = hmac.new(SIGNER.raw(), unsigned.encode(), hashlib.sha256).digest()
    token = forged(HEADERS | {"alg": "HS256"}, mac)
    assert token.startswith(unsigned)
    assert refusal(token) is PermitReason.WRONG_ALGORITHM


def test_a_changed_byte_is_rejected() -> None:
    permit = SIGNER.permit()
    for place in range(0, len(permit), 7):
        other = "A" if permit[place] != "A" else "B"
        assert refusal(permit[:place] + other + permit[place + 1 :]) in PermitReason


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_a_claim_that_is_missing_or_has_the_wrong_type(claim: str) -> None:
    values: dict[str, Any] = {"left out": ..., "null": None, "an object": {}, "a fraction": 1.5}
    found = {name: refusal(SIGNER.permit(None, **{claim: value})) for name, value in values.items()}
    missing, malformed = PermitReason.MISSING_CLAIM, PermitReason.MALFORMED
    assert found == {"left out": missing, "null": missing, "an object": malformed, "a fraction": malformed}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "another"}, PermitReason.WRONG_ISSUER),
        ({"aud": "globex"}, PermitReason.WRONG_TENANT),
        ({"aud": ["acme", "globex"]}, PermitReason.MALFORMED),
        ({"tenant": "globex", "aud": "globex"}, PermitReason.WRONG_TENANT),
        ({"exp": True}, PermitReason.MALFORMED),
        ({"exp": 10**30}, PermitReason.MALFORMED),
        ({"iat": -(10**30)}, PermitReason.MALFORMED),
        ({"dry_run": 0}, PermitReason.MALFORMED),
        ({"budgets": [1]}, PermitReason.MISSING_CLAIM),
        ({"budgets": [{"id": "b", "reserved": "1", "unit": "calls"}]}, PermitReason.MALFORMED),
        ({"action_digest": CLAIMS["action_digest"].upper()}, PermitReason.WRONG_DIGEST),
    ],
)
def test_claims_that_contradict(changes: dict[str, Any], reason: PermitReason) -> None:
    assert refusal(SIGNER.permit(**changes)) is reason


def test_an_empty_permit_names_what_the_request_lacks() -> None:
    with pytest.raises(PermitError, match=r"malformed: it is empty: .* without include_permit=True"):
        verify("")


def test_a_permit_is_used_once() -> None:
    replay = ReplayCache()
    permit = SIGNER.permit()
    assert refusal(permit, replace(ACTION, scope="x"), replay=replay) is PermitReason.WRONG_DIGEST
    verify(permit, replay=replay)
    assert refusal(permit, replay=replay) is PermitReason.REPLAYED
    assert refusal(permit, replay=replay, now=NOW + 64.9) is PermitReason.REPLAYED
    assert verify(SIGNER.permit(jti="dec_2"), replay=replay).decision_id == "dec_2"


def test_a_permit_is_used_once_in_a_process_by_default() -> None:
    permit = SIGNER.permit(jti="dec_here")
    arguments: dict[str, Any] = {"identity": IDENTITY, "run_id": RUN_ID, "now": NOW}
    verify_permit(permit, ACTION, KEYS, **arguments)
    with pytest.raises(PermitError, match="replayed"):
        verify_permit(permit, ACTION, KEYS, **arguments)
    verify_permit(permit, ACTION, KEYS, replay=None, **arguments)


def test_only_expired_permits_are_forgotten() -> None:
    replay = ReplayCache(used_max=2)
    assert replay.first_use("a", 100, now=50)
    assert replay.first_use("b", 90, now=50)
    with pytest.raises(PermitError, match="replay_cache_full"):
        replay.first_use("c", 110, now=90)
    assert not replay.first_use("a", 100, now=90)
    assert replay.first_use("c", 110, now=91)
    assert len(replay) == 2
    assert not replay.first_use("a", 100, now=91)
    with pytest.raises(ValueError, match="at least 1"):
        ReplayCache(used_max=0)


def test_one_of_several_threads_uses_a_permit() -> None:
    replay = ReplayCache()
    start = threading.Barrier(8)
    used: list[int] = []

    def use() -> None:
        start.wait()
        used.extend(number for number in range(200) if replay.first_use(f"dec_{number}", NOW, NOW))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(used) == list(range(200))


def test_server_and_sdk_have_the_same_constants() -> None:
    assert token.PERMIT_TYPE == core_permit.PERMIT_TYPE
    assert token.PERMIT_ALGORITHM == core_permit.PERMIT_ALGORITHM
    assert permits.PERMIT_ISSUER == core_permit.PERMIT_ISSUER


@pytest.mark.parametrize("absent", ["jwt", "rfc8785", "cryptography"])
def test_a_missing_package_is_named_with_its_extra(absent: str) -> None:
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {absent!r}:
            raise ModuleNotFoundError("none", name={absent!r})
sys.meta_path.insert(0, Refuse())
from placet.sdk import Action, Identity, PermitKeys, PermitKeySet, verify_permit
for attempt in (
    lambda: verify_permit("x", Action("t"), PermitKeys(lambda: ""), identity=Identity("a", "t")),
    lambda: PermitKeySet("{{}}"),
):
    try:
        attempt()
    except ImportError as error:
        print(error)
    except ValueError:
        print("keys do not need it")
"""
    server = Path(placet.sdk.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(server)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    verifying, parsing = done.stdout.splitlines()
    message = f"verify_permit needs {absent}, which is not installed. Run: pip install 'placet-sdk[permits]'"
    assert verifying == message
    assert parsing == ("keys do not need it" if absent == "rfc8785" else message)
