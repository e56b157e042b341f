r"""The audit chain: what the bytes of a record are, and how each is bound to the one before.

    part digest = SHA-256(salt + content)                      one random salt for each part
    body        = JSON {"v", "writer", "sequence", "kind", "tenant", "recorded_at_us", <fields>,
                  "state_changes": how many, "parts": {name: part digest}, "subject" where there is one}
    leaf        = SHA-256(body)
    hash        = SHA-256("placet.record.v1\0" + previous hash + leaf)

The bytes of the body are stored as they were hashed, so nothing is written again to verify it. The chain covers leaves,
so a record can be handed on as its leaf alone; and it covers digests of parts, so a part can be erased: the salt goes
with it, and what it was cannot be guessed from the digest.

Every so often a checkpoint is signed: the head of the chain, and a Merkle tree hash (RFC 6962, section 2.1) over the
leaves since the checkpoint before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.audit.state_record import STATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.records import Commitment
    from placet.audit.state_record import StateChanges

BODY_VERSION: Final = 1
HASH_BYTES: Final = 32
SALT_BYTES: Final = 16
"""As many as make guessing a part from its digest hopeless."""
GENESIS: Final = bytes(HASH_BYTES)
"""Stands before the first record."""
_RECORD_DOMAIN: Final = b"placet.record.v1\0"
_CHECKPOINT_DOMAIN: Final = b"placet.checkpoint.v1\0"
_RESERVED: Final = frozenset(
    {"v", "writer", "sequence", "kind", "tenant", "recorded_at_us", "state_changes", "subject", "parts"}
)


@dataclass(frozen=True, slots=True)
class Head:
    """The last record of a chain; sequence 0 before the first."""

    sequence: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class LinkedRecord:
    """A commitment in its place in a chain. `parts` are (name, salt, content)."""

    commitment: Commitment
    sequence: int
    body: bytes
    leaf: bytes
    previous_hash: bytes
    hash: bytes
    parts: tuple[tuple[str, bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says. Hashes and root in lower-case hex."""

    writer: str
    sequence: int
    head: str
    merkle_root: str
    previous_sequence: int
    signed_at_us: int
    key_id: str


def part_digest(salt: bytes, content: bytes) -> str:
    """What a body says of a part, hex."""
    return hashlib.sha256(salt + content).hexdigest()


def record_leaf(body: bytes) -> bytes:
    """What the chain and the Merkle tree cover of a record."""
    return hashlib.sha256(body).digest()


def record_hash(previous_hash: bytes, leaf: bytes) -> bytes:
    """What the next record is bound to."""
    return hashlib.sha256(_RECORD_DOMAIN + previous_hash + leaf).digest()


def salt_bytes(commitments: Sequence[Commitment], states: Sequence[StateChanges]) -> int:
    """How many random bytes `link` needs for the commitments."""
    return SALT_BYTES * (sum(len(each.parts) for each in commitments) + sum(1 for each in states if each.total))


def link(
    head: Head, writer: str, commitments: Sequence[Commitment], states: Sequence[StateChanges], salts: bytes
) -> list[LinkedRecord]:
    """Give each commitment the next place after the head, in order, with what it changed of state.

    `salts` are `salt_bytes` random bytes.
    """
    sequence, previous_hash = head.sequence, head.hash
    offset = 0
    linked = []
    for commitment, state in zip(commitments, states, strict=True):
        sequence += 1
        parts = []
        digests = {}
        contents = {**commitment.parts, STATE: state.part} if state.total else commitment.parts
        for name, content in contents.items():
            salt = salts[offset : offset + SALT_BYTES]
            offset += SALT_BYTES
            digests[name] = part_digest(salt, content)
            parts.append((name, salt, content))
        body = _body(writer, sequence, commitment, state.total, digests)
        leaf = record_leaf(body)
        hashed = record_hash(previous_hash, leaf)
        linked.append(LinkedRecord(commitment, sequence, body, leaf, previous_hash, hashed, tuple(parts)))
        previous_hash = hashed
    if offset != len(salts):
        raise ValueError(f"{len(salts)} bytes of salt given, {offset} needed")
    return linked


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Merkle tree hash of RFC 6962 over the leaves, each of them the entry of one leaf node."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:  # a node without a sibling goes up as it is: the same tree as splitting by powers of two
        odd = level[-1:] if len(level) % 2 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [hashlib.sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def checkpoint_body(checkpoint: Checkpoint) -> bytes:
    """The canonical JSON (RFC 8785) of a checkpoint."""
    said = {
        "v": BODY_VERSION,
        "writer": checkpoint.writer,
        "sequence": checkpoint.sequence,
        "head": checkpoint.head,
        "merkle_root": checkpoint.merkle_root,
        "previous_sequence": checkpoint.previous_sequence,
        "signed_at_us": checkpoint.signed_at_us,
        "key_id": checkpoint.key_id,
    }
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def signed_bytes(body: bytes) -> bytes:
    """What the signature of a checkpoint is over: its body, marked so that it can be taken for nothing else."""
    return _CHECKPOINT_DOMAIN + body


def parse_checkpoint(body: bytes) -> Checkpoint:
    """A checkpoint from its body. ValueError when the bytes are not the canonical body of one."""
    try:
        said = orjson.loads(body)
        said.pop("v")
        checkpoint = Checkpoint(**said)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("not a checkpoint") from error
    types = {"sequence": int, "previous_sequence": int, "signed_at_us": int}
    if any(type(value) is not types.get(name, str) for name, value in said.items()):
        raise ValueError("not a checkpoint: a member has the wrong type")
    if checkpoint_body(checkpoint) != body:
        raise ValueError("not the canonical bytes of a checkpoint of a known version")
    return checkpoint


def _body(writer: str, sequence: int, commitment: Commitment, state_changes: int, digests: dict[str, str]) -> bytes:
    if not _RESERVED.isdisjoint(commitment.fields):
        raise ValueError(f"fields may not be named {sorted(_RESERVED & set(commitment.fields))}")
    said: dict[str, Any] = {
        "v": BODY_VERSION,
        "writer": writer,
        "sequence": sequence,
        "kind": commitment.kind.value,
        "tenant": commitment.tenant,
        "recorded_at_us": commitment.recorded_at_us,
        **commitment.fields,
        "state_changes": state_changes,
        "parts": digests,
    }
    if commitment.subject:
        said["subject"] = commitment.subject
    return orjson.dumps(said)
