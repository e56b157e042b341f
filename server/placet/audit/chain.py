r"""The audit chain: the bytes of a record, and how each record is bound to the one before.

    part digest = SHA-256(salt + content)                      one random salt for each part
    body        = JSON {"v", "writer", "sequence", "kind", "tenant", "recorded_at_us", <fields>,
                  "state_changes": number of changes, "parts": {name: part digest}, "subject" if there is one}
    leaf        = SHA-256(body)
    hash        = SHA-256("placet.record.v1\0" + previous hash + leaf)

The body is stored as the bytes that were hashed, so verification never serialises it again. The chain covers leaves, so
a record can be disclosed as its leaf only. The chain covers digests of parts, so a part can be erased: its salt is
erased too, and the content cannot be guessed from the digest.

Checkpoints are signed at intervals: the head of the chain, and a Merkle tree hash (RFC 6962, section 2.1) over the
leaves since the previous checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import Struct

from placet.audit.state_record import STATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.records import Commitment
    from placet.audit.state_record import StateChanges

BODY_VERSION: Final = 1
HASH_BYTES: Final = 32
SALT_BYTES: Final = 16
"""Enough that a part cannot be guessed from its digest."""
GENESIS: Final = bytes(HASH_BYTES)
"""The previous hash of the first record."""
_RECORD_DOMAIN: Final = b"placet.record.v1\0"
_CHECKPOINT_DOMAIN: Final = b"placet.checkpoint.v1\0"
_RESERVED: Final = frozenset(
    {"v", "writer", "sequence", "kind", "tenant", "recorded_at_us", "state_changes", "subject", "parts"}
)
"""Members of a body that a commitment's `fields` may not use."""


class Head(Struct, frozen=True, gc=False):
    """The last record of a chain. Sequence 0 before the first record."""

    sequence: int = 0
    hash: bytes = GENESIS


class LinkedRecord(Struct, frozen=True, gc=False):
    """A commitment with its position in a chain."""

    commitment: Commitment
    sequence: int
    body: bytes
    leaf: bytes
    previous_hash: bytes
    hash: bytes
    parts: Sequence[tuple[str, bytes, bytes]]
    """(name, salt, content) of each part."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint. Hashes and root are lower-case hex."""

    writer: str
    sequence: int
    head: str
    merkle_root: str
    previous_sequence: int
    signed_at_us: int
    key_id: str


def part_digest(salt: bytes, content: bytes) -> str:
    """Return the hex digest of a part, as the record's body holds it."""
    return sha256(salt + content).hexdigest()


def record_leaf(body: bytes) -> bytes:
    """Return the hash of a body. The chain and the Merkle tree cover it."""
    return sha256(body).digest()


def record_hash(previous_hash: bytes, leaf: bytes) -> bytes:
    """Return a record's hash, which the next record includes."""
    return sha256(_RECORD_DOMAIN + previous_hash + leaf).digest()


def salt_bytes(commitments: Sequence[Commitment], states: Sequence[StateChanges]) -> int:
    """Return how many random bytes `link` needs for the commitments."""
    parts = sum(map(len, [item.parts for item in commitments]))
    return SALT_BYTES * (parts + len([item for item in states if item.total]))


def link(
    head: Head, writer: str, commitments: Sequence[Commitment], states: Sequence[StateChanges], salts: bytes
) -> list[LinkedRecord]:
    """Append the commitments to a chain after its head, in order. `states` are their state changes.

    `salts` are `salt_bytes` random bytes; raises ValueError for another length.
    """
    sequence, previous_hash = head.sequence, head.hash
    offset = 0
    linked = []
    for commitment, state in zip(commitments, states, strict=True):
        sequence += 1
        parts = []
        digests = {}
        contents = {**commitment.parts, STATE: state.part} if state.total else commitment.parts
        for name, content in contents.items():  # the hashes as in the functions above, without calls of functions
            end = offset + SALT_BYTES
            salt = salts[offset:end]
            offset = end
            digests[name] = sha256(salt + content).hexdigest()
            parts.append((name, salt, content))
        body = _body(writer, sequence, commitment, state.total, digests)
        leaf = sha256(body).digest()
        hashed = sha256(_RECORD_DOMAIN + previous_hash + leaf).digest()
        linked.append(LinkedRecord(commitment, sequence, body, leaf, previous_hash, hashed, parts))
        previous_hash = hashed
    if offset != len(salts):
        raise ValueError(f"got {len(salts)} bytes of salt, {offset} needed")
    return linked


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of RFC 6962 over the leaves. Each leaf is the entry of one leaf node."""
    if not leaves:
        return sha256(b"").digest()
    level = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:  # a node without a sibling moves up unchanged: the tree is that of splitting by powers of 2
        odd = level[-1:] if len(level) % 2 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def checkpoint_body(checkpoint: Checkpoint) -> bytes:
    """Return the canonical JSON (RFC 8785) of a checkpoint."""
    body = {
        "v": BODY_VERSION,
        "writer": checkpoint.writer,
        "sequence": checkpoint.sequence,
        "head": checkpoint.head,
        "merkle_root": checkpoint.merkle_root,
        "previous_sequence": checkpoint.previous_sequence,
        "signed_at_us": checkpoint.signed_at_us,
        "key_id": checkpoint.key_id,
    }
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def signed_bytes(body: bytes) -> bytes:
    """Return the bytes that a checkpoint's signature covers: its body with a prefix that marks it as a checkpoint."""
    return _CHECKPOINT_DOMAIN + body


def parse_checkpoint(body: bytes) -> Checkpoint:
    """Return the checkpoint of a body. Raises ValueError when the bytes are not a canonical checkpoint body."""
    try:
        members = orjson.loads(body)
        members.pop("v")
        checkpoint = Checkpoint(**members)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("not a checkpoint") from error
    types = {"sequence": int, "previous_sequence": int, "signed_at_us": int}
    if any(type(value) is not types.get(name, str) for name, value in members.items()):
        raise ValueError("not a checkpoint: a member has the wrong type")
    if checkpoint_body(checkpoint) != body:
        raise ValueError("not the canonical bytes of a checkpoint of a known version")
    return checkpoint


def _body(writer: str, sequence: int, commitment: Commitment, state_changes: int, digests: dict[str, str]) -> bytes:
    fields = commitment.fields
    if not _RESERVED.isdisjoint(fields):
        raise ValueError(f"fields may not be named {sorted(_RESERVED & set(fields))}")
    body: dict[str, Any] = {
        "v": BODY_VERSION,
        "writer": writer,
        "sequence": sequence,
        "kind": commitment.kind,
        "tenant": commitment.tenant,
        "recorded_at_us": commitment.recorded_at_us,
        **fields,
        "state_changes": state_changes,
        "parts": digests,
    }
    if commitment.subject:
        body["subject"] = commitment.subject
    return orjson.dumps(body)
