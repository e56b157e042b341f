from __future__ import annotations

import hashlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.audit.chain import (
    GENESIS,
    Checkpoint,
    Head,
    checkpoint_body,
    link,
    merkle_root,
    parse_checkpoint,
    salt_bytes,
    signed_bytes,
)
from placet.audit.records import Commitment, RecordKind
from placet.audit.state_record import NO_STATE_CHANGES, STATE, StateChanges

# The tree of RFC 6962's reference implementation, over its eight entries.
ENTRIES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes(range(0x50, 0x58)),
    bytes(range(0x60, 0x70)),
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def event(**parts: bytes) -> Commitment:
    return Commitment(RecordKind.SERVER_STARTED, "acme", 7, {"version": "0.1.0"}, parts)


@pytest.mark.parametrize("size", range(9))
def test_the_tree_is_that_of_rfc_6962(size: int) -> None:
    assert merkle_root(ENTRIES[:size]).hex() == ROOTS[size]


def split_tree(leaves: list[bytes]) -> bytes:
    """The definition, word for word."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + split_tree(leaves[:k]) + split_tree(leaves[k:])).digest()


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70))
def test_the_tree_is_that_of_its_definition(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == split_tree(leaves)


def test_the_layout_of_a_record_by_hand() -> None:
    salts = bytes(range(32))
    first, second = link(Head(), "w1", [event(a=b"1", b=b"2"), event()], [NO_STATE_CHANGES] * 2, salts)
    digests = {
        "a": hashlib.sha256(salts[:16] + b"1").hexdigest(),
        "b": hashlib.sha256(salts[16:] + b"2").hexdigest(),
    }
    assert first.body == orjson.dumps(
        {
            "v": 1,
            "writer": "w1",
            "sequence": 1,
            "kind": "server.started",
            "tenant": "acme",
            "recorded_at_us": 7,
            "version": "0.1.0",
            "state_changes": 0,
            "parts": digests,
        }
    )
    assert tuple(first.parts) == (("a", salts[:16], b"1"), ("b", salts[16:], b"2"))
    assert first.leaf == hashlib.sha256(first.body).digest()
    assert first.previous_hash == GENESIS == bytes(32)
    assert first.hash == hashlib.sha256(b"placet.record.v1\0" + bytes(32) + first.leaf).digest()
    assert (second.sequence, second.previous_hash) == (2, first.hash)


def test_a_record_that_changed_state_says_how_often_and_what() -> None:
    salts = bytes(range(48))
    first, second = link(Head(), "w1", [event(a=b"1"), event()], [NO_STATE_CHANGES, StateChanges(2, b"{}")], salts[:32])
    assert [name for name, _, _ in first.parts] == ["a"]
    assert tuple(second.parts) == ((STATE, salts[16:32], b"{}"),)
    said = orjson.loads(second.body)
    assert (said["state_changes"], said["parts"]) == (2, {STATE: hashlib.sha256(salts[16:32] + b"{}").hexdigest()})


def test_a_chain_goes_on_from_its_head() -> None:
    (first,) = link(Head(), "w1", [event()], [NO_STATE_CHANGES], b"")
    (second,) = link(Head(first.sequence, first.hash), "w1", [event()], [NO_STATE_CHANGES], b"")
    assert [second.hash] == [
        each.hash for each in link(Head(), "w1", [event(), event()], [NO_STATE_CHANGES] * 2, b"")[1:]
    ]


def test_the_same_content_has_another_digest_each_time() -> None:
    one, other = link(Head(), "w1", [event(a=b"1"), event(a=b"1")], [NO_STATE_CHANGES] * 2, bytes(range(32)))
    assert orjson.loads(one.body)["parts"] != orjson.loads(other.body)["parts"]


@pytest.mark.parametrize("given_bytes", [0, 15, 17, 32])
def test_salts_must_be_as_many_as_needed(given_bytes: int) -> None:
    assert salt_bytes([event(a=b"1")], [NO_STATE_CHANGES]) == 16
    assert salt_bytes([event(a=b"1")], [StateChanges(1, b"{}")]) == 32
    with pytest.raises(ValueError, match="16 needed"):
        link(Head(), "w1", [event(a=b"1")], [NO_STATE_CHANGES], bytes(given_bytes))


@pytest.mark.parametrize(
    "name", ["v", "writer", "sequence", "kind", "tenant", "recorded_at_us", "state_changes", "parts"]
)
def test_a_field_cannot_take_the_place_of_another(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        link(Head(), "w1", [Commitment(RecordKind.SERVER_STARTED, "", 1, {name: 1})], [NO_STATE_CHANGES], b"")


CHECKPOINT = Checkpoint("w1", 7, "aa", "bb", 3, 1_000, "key")


def test_a_checkpoint_is_canonical_and_comes_back() -> None:
    body = checkpoint_body(CHECKPOINT)
    assert body == (
        b'{"head":"aa","key_id":"key","merkle_root":"bb","previous_sequence":3,"sequence":7,"signed_at_us":1000,'
        b'"v":1,"writer":"w1"}'
    )
    assert parse_checkpoint(body) == CHECKPOINT
    assert signed_bytes(body) == b"placet.checkpoint.v1\0" + body


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:0],
        lambda body: b"[" + body + b"]",
        lambda body: body[:1] + body[-1:],
        lambda body: b" " + body,
        lambda body: body.replace(b'"v":1', b'"v":2'),
        lambda body: body.replace(b'"sequence":7', b'"sequence":"7"'),
        lambda body: body.replace(b'"sequence":7', b'"sequence":true'),
        lambda body: body.replace(b'"head":"aa"', b'"head":1'),
        lambda body: body.replace(b'"head":"aa",', b""),
        lambda body: body.replace(b'"head"', b'"extra":"x","head"'),
    ],
)
def test_what_is_no_checkpoint(change: object) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match="not "):
        parse_checkpoint(change(checkpoint_body(CHECKPOINT)))
