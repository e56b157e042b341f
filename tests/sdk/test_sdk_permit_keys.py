"""Keys that verify permits: from a JWK set, and fetched from a server."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from placet.sdk import (
    CallFailedError,
    ControlClient,
    PermitError,
    PermitKeys,
    PermitKeySet,
    PermitReason,
    verify_permit,
)
from placet.sdk._wire.methods import GET_PERMIT_KEYS
from placet.v1 import control_pb2
from tests.sdk.permit_making import ACTION, IDENTITY, NOW, RUN_ID, Signer
from tests.sdk.scripted_server import ScriptedServer, plain_status

OLD, NEW = Signer("old"), Signer("new")


@dataclass
class Publisher:
    """Returns the keys that a test sets, or fails, and counts the fetches."""

    jwks: str | Exception = ""
    fetches: int = 0
    now: float = 1_000.0
    keys: PermitKeys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = PermitKeys(self.fetch, refresh_seconds=5, age_seconds_max=100, monotonic=lambda: self.now)

    def fetch(self) -> str:
        self.fetches += 1
        if isinstance(self.jwks, Exception):
            raise self.jwks
        return self.jwks

    def knows(self, *key_ids: str) -> bool:
        return all(self.keys.find(each) is not None for each in key_ids)


def member(**changes: Any) -> dict[str, Any]:
    [key] = json.loads(OLD.jwks())["keys"]
    return {name: value for name, value in (key | changes).items() if value is not ...}


def test_a_jwk_set() -> None:
    keys = PermitKeySet(OLD.jwks(NEW))
    assert len(keys) == 2
    found = keys.find("new")
    assert found is not None
    assert found.public_bytes(Encoding.Raw, PublicFormat.Raw) == NEW.raw()
    assert keys.find("other") is None


@pytest.mark.parametrize(
    "other",
    [
        member(d=base64url_encode(b"\1" * 32).decode()),
        member(crv="Ed448", x=base64url_encode(Ed448PrivateKey.generate().public_key().public_bytes_raw()).decode()),
        member(crv="X25519"),
        member(kty="oct", k="c2VjcmV0"),
        member(use="enc"),
        member(alg="HS256"),
        member(x="c2hvcnQ"),
        member(x=...),
        member(x=5),
        member(kid=...),
        member(kid=7),
        "no key",
        None,
    ],
)
def test_keys_for_other_purposes_are_ignored(other: object) -> None:
    key_set = json.loads(NEW.jwks())
    key_set["keys"].insert(0, other)
    keys = PermitKeySet(json.dumps(key_set))
    assert len(keys) == 1
    assert keys.find("new") is not None


def test_a_key_without_use_and_alg_is_accepted() -> None:
    assert len(PermitKeySet(json.dumps({"keys": [member(use=..., alg=...)]}))) == 1


@pytest.mark.parametrize("text", ["", "no json", "[]", "null", "{}", '{"keys":{}}', '{"keys":null}', "[" * 100_000])
def test_text_that_is_not_a_jwk_set_raises(text: str) -> None:
    with pytest.raises(ValueError, match="is not a JWK set"):
        PermitKeySet(text)


def test_keys_are_fetched_for_the_first_permit() -> None:
    publisher = Publisher(OLD.jwks())
    assert publisher.fetches == 0
    assert publisher.knows("old")
    publisher.now += 99
    assert publisher.knows("old")
    assert publisher.fetches == 1


def test_an_unknown_key_causes_one_fetch_in_an_interval() -> None:
    publisher = Publisher(OLD.jwks())
    assert publisher.knows("old")
    publisher.jwks = OLD.jwks(NEW)
    assert not publisher.knows("new"), "fetched a moment ago"
    publisher.now += 5
    assert publisher.knows("new", "old")
    assert publisher.fetches == 2
    for _ in range(100):
        assert not publisher.knows("forged")
    assert publisher.fetches == 2


def test_a_withdrawn_key_is_forgotten() -> None:
    publisher = Publisher(OLD.jwks(NEW))
    assert publisher.knows("old")
    publisher.jwks = NEW.jwks()
    publisher.now += 100
    assert not publisher.knows("old")
    assert publisher.knows("new")


@pytest.mark.parametrize("failure", [OSError("no route"), TimeoutError(), ValueError("bad"), "no keys"])
def test_a_failed_fetch_is_reported_and_repeated(failure: Any) -> None:
    publisher = Publisher(failure)
    for _ in range(3):
        with pytest.raises(PermitError) as caught:
            publisher.keys.find("old")
        assert caught.value.reason is PermitReason.KEYS_UNAVAILABLE
        assert caught.value.message
    assert publisher.fetches == 1
    publisher.jwks = OLD.jwks()
    publisher.now += 5
    assert publisher.knows("old")


def test_cached_keys_stay_in_use_if_a_fetch_fails() -> None:
    publisher = Publisher(OLD.jwks())
    assert publisher.knows("old")
    publisher.jwks = OSError("no route")
    publisher.now += 1_000
    assert publisher.knows("old")
    with pytest.raises(PermitError, match="keys_unavailable: no route"):
        publisher.keys.find("new")
    assert publisher.fetches == 2


def test_a_cached_key_does_not_wait_for_a_fetch() -> None:
    fetching, answered = threading.Event(), threading.Event()
    fetches: list[int] = []
    now = [0.0]

    def fetch() -> str:
        fetches.append(1)
        if len(fetches) > 1:
            fetching.set()
            assert answered.wait(30)
        return OLD.jwks()

    keys = PermitKeys(fetch, monotonic=lambda: now[0])
    assert keys.find("old") is not None
    now[0] = 1e6
    waiting = threading.Thread(target=keys.find, args=("old",))
    waiting.start()
    assert fetching.wait(30)
    assert keys.find("old") is not None
    answered.set()
    waiting.join()
    assert len(fetches) == 2


def test_keys_are_fetched_from_a_server(server: ScriptedServer) -> None:
    server.script(
        GET_PERMIT_KEYS,
        control_pb2.GetPermitKeysResponse(jwks_json=OLD.jwks()),
        plain_status(grpc.StatusCode.INTERNAL),
    )
    now = [0.0]
    with ControlClient(server.address, timeout=10) as control:
        keys = PermitKeys(control.permit_keys, monotonic=lambda: now[0])
        arguments: dict[str, Any] = {"identity": IDENTITY, "run_id": RUN_ID, "now": NOW, "replay": None}
        assert verify_permit(OLD.permit(), ACTION, keys, **arguments).key_id == "old"
        now[0] = 10
        with pytest.raises(PermitError, match=r"keys_unavailable: pdp\.client_error"):
            verify_permit(NEW.permit(), ACTION, keys, **arguments)
        with pytest.raises(CallFailedError):
            control.permit_keys()
