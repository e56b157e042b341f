"""docs/concepts/permits.md lists every reason and claim, and its example works."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from placet.kernel.limits import (
    JWKS_CACHE_SECONDS,
    PERMIT_KEY_LEAD_SECONDS,
    PERMIT_KEY_OVERLAP_SECONDS,
    PERMIT_KEYS_LOOK_SECONDS,
    PERMIT_TTL_SECONDS,
    SHARED_KEYS_AGE_SECONDS_MAX,
    SHARED_KEYS_LOOK_SECONDS,
)
from placet.permits.claims import PERMIT_TYPE, permit_claims
from placet.sdk import Action, Amount, Identity, PermitReason
from placet.sdk._permits.digest import action_digest
from placet.sdk._permits.keys import AGE_SECONDS_MAX, REFRESH_SECONDS
from placet.sdk._wire.methods import GET_PERMIT_KEYS
from placet.sdk.permits import LEEWAY_SECONDS
from placet.signing.key_sources import COMMAND_SECONDS_MAX
from placet.v1 import control_pb2
from tests.docs.blocks import blocks
from tests.docs.tables import DOCS, by_name
from tests.sdk.permit_making import Signer
from tests.sdk.scripted_server import ScriptedServer
from tests.storage.making import decision, proposal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

PAGE = DOCS / "concepts/permits.md"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer().start()
    yield scripted
    scripted.stop()


def test_every_reason_has_its_row_and_no_other() -> None:
    assert by_name(PAGE, "Reasons for refusal").keys() == {reason.value for reason in PermitReason}


def test_every_claim_has_its_row_and_no_other() -> None:
    assert by_name(PAGE, "Claims").keys() == json.loads(permit_claims(decision(1), proposal(1))).keys()
    assert PERMIT_TYPE in PAGE.read_text()


def test_figures() -> None:
    assert (PERMIT_TTL_SECONDS, PERMIT_KEY_LEAD_SECONDS, PERMIT_KEY_OVERLAP_SECONDS) == (60, 60, 24 * 3_600)
    assert (SHARED_KEYS_LOOK_SECONDS, SHARED_KEYS_AGE_SECONDS_MAX) == (1, 3_600)
    assert (REFRESH_SECONDS, AGE_SECONDS_MAX, LEEWAY_SECONDS) == (5, 3_600, 5)
    text = " ".join(PAGE.read_text().split())
    for figure in (
        "valid for one minute",
        "at most every 5 seconds",
        "after an hour",
        "differ by 5 seconds",
        "for 24 hours",
        "every second. A key",
        f"for at most {COMMAND_SECONDS_MAX:g} seconds",
        f"at most {JWKS_CACHE_SECONDS} seconds",
        f"every {PERMIT_KEYS_LOOK_SECONDS} seconds",
        "for an hour signs",
    ):
        assert figure in text


def test_the_example_runs_what_was_allowed_and_nothing_else(server: ScriptedServer) -> None:
    signer = Signer()
    server.script(GET_PERMIT_KEYS, control_pb2.GetPermitKeysResponse(jwks_json=signer.jwks()))
    [_, example] = [block.text for block in blocks(PAGE) if block.language == "python"]
    scope: dict[str, Any] = {}
    exec(example.replace("127.0.0.1:7070", server.address), scope)  # noqa: S102 - the document's own example
    identity = Identity("refund-agent", "acme", "u_4812", ["support_refunds"])
    now = int(time.time())
    refund = Action("stripe.refund", {"charge": "ch_1"}, Amount("USD", 4500))
    digest = action_digest(refund, identity, "run_7")
    token = signer.permit(jti="dec_page", iat=now, exp=now + 60, run_id="run_7", action_digest=digest)
    with pytest.raises(SystemExit, match="not run: wrong_digest"):
        scope["run_refund"](token, {"charge": "ch_2"}, 4500)
    with pytest.raises(SystemExit, match="not run: wrong_digest"):
        scope["run_refund"](token, {"charge": "ch_1"}, 4501)
    scope["run_refund"](token, {"charge": "ch_1"}, 4500)
    with pytest.raises(SystemExit, match="not run: replayed"):
        scope["run_refund"](token, {"charge": "ch_1"}, 4500)


def test_what_the_first_example_asks_for_is_what_the_second_runs(placet_server: Server) -> None:
    scope: dict[str, Any] = {}
    asks, runs = [block.text for block in blocks(PAGE) if block.language == "python"]
    for example in (asks, runs):
        exec(example.replace("127.0.0.1:7070", placet_server.address), scope)  # noqa: S102 - as above
    assert scope["decision"].allowed
    scope["run_refund"](scope["token"], {"charge": "ch_1", "amount": 45.00, "currency": "USD"}, 4500)
