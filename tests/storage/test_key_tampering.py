"""Idempotency keys that were replaced, swept and used again: what nobody did is still found."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.audit.records import Committed
from placet.audit.verification.problems import ProblemKind as K
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import verify_database
from tests.storage.keys_contract import key_fields, made_before, replacing
from tests.storage.making import TickingClock, commitment
from tests.storage.test_tampering import change
from tests.support.memory_ledger import MemoryLedger
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.signing.keys import SigningKey

KEY = "UPDATE idempotency_keys SET {} WHERE idempotency_key = '{}'"


def again(number: int, first: int) -> Commitment:
    """The key and content of an earlier decision, once more."""
    made, same = commitment(number), commitment(first).idempotency
    assert same is not None
    return replace(made, idempotency=same, fields={**made.fields, **key_fields(same)})


async def fill(path: Path, key: SigningKey) -> None:
    """key-2 and key-3 are swept, key-2 used again, key-1 replaced twice; key-7 is as it was made."""
    ledger = SqliteLedger.open(path, writer="w1", signing_key=key, clock=TickingClock())
    made = [commitment(2), commitment(3), commitment(4, key="key-1"), commitment(7)]
    first = commitment(1).idempotency
    assert first is not None
    made[2] = replace(made[2], idempotency=first, fields={**made[2].fields, **key_fields(first)})
    await ledger.commit(made)
    assert await ledger.purge_idempotency_keys(made_before(4), 9) == 2
    results = [await ledger.commit([each]) for each in (replacing(10, 4), replacing(11, 10), again(12, 2))]
    assert [list(result) for result in results] == [[Committed()]] * 3
    await ledger.checkpoint()
    await ledger.close()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, signing_key: SigningKey) -> Path:
    path = tmp_path_factory.mktemp("swept") / "placet.db"
    asyncio.run(fill(path, signing_key))
    return path


@pytest.fixture
def copy(swept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(swept, tmp_path / "copy.db"))


def test_untouched_it_is_whole(swept: Path, signing_key: SigningKey) -> None:
    report = verify_database(swept, signing_key.public)
    assert (report.records, report.problems) == (8, ())


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM idempotency_keys WHERE idempotency_key = 'key-7'", [(K.KEY_MISSING, 4)]),
        ("DELETE FROM idempotency_keys WHERE idempotency_key = 'key-2'", [(K.KEY_MISSING, 8)]),
        (
            "DELETE FROM idempotency_keys WHERE idempotency_key = 'key-1'",
            [(K.KEY_MISSING, 3), (K.KEY_MISSING, 6), (K.KEY_MISSING, 7)],
        ),
        (KEY.format("replaced_id = ''", "key-1"), [(K.KEY_MISMATCH, 7)]),
        (KEY.format("decided_at_us = 0", "key-7"), [(K.KEY_MISMATCH, 4)]),
        (KEY.format("replaced_id = 'dec_x'", "key-7"), [(K.KEY_MISMATCH, 4)]),
        (KEY.format("request_digest = 'x'", "key-2"), [(K.KEY_MISMATCH, 8)]),
        (KEY.format("decision_id = 'x'", "key-7"), [(K.KEY_MISMATCH, 4), (K.KEY_UNEXPECTED, 0)]),
        (KEY.format("decision_id = x'00'", "key-7"), [(K.KEY_MISMATCH, 4), (K.KEY_UNEXPECTED, 0)]),
        (
            KEY.format(f"decision_id = 'dec_{10:032x}', sequence = 6, replaced_id = 'dec_{4:032x}'", "key-1"),
            [(K.KEY_MISMATCH, 6), (K.KEY_MISMATCH, 7)],
        ),
        (
            "INSERT INTO idempotency_keys VALUES ('acme', 'unauthenticated', 'key-3', 'x', 'x', 'w1', 2, '', 0)",
            [(K.KEY_UNEXPECTED, 0)],
        ),
    ],
)
def test_what_nobody_did_is_named(
    copy: Path, signing_key: SigningKey, statement: str, expected: list[tuple[K, int]]
) -> None:
    change(copy, statement)
    report = verify_database(copy, signing_key.public)
    assert [(found.kind, found.sequence) for found in report.problems] == expected


async def test_a_record_that_replaces_itself_ends_the_search(signing_key: SigningKey) -> None:
    ledger = MemoryLedger(writer="w1", signing_key=signing_key, clock=TickingClock())
    await ledger.commit([commitment(1)])
    made = replacing(2, 1)
    await ledger.commit([replace(made, fields={**made.fields, "replaces": f"dec_{2:032x}"})])
    report = await ledger.verify()
    assert [(found.kind, found.sequence) for found in report.problems] == [(K.KEY_MISMATCH, 2), (K.KEY_MISMATCH, 1)]


def test_a_sweep_that_is_made_up_is_found(copy: Path, signing_key: SigningKey) -> None:
    change(
        copy,
        "DELETE FROM idempotency_keys WHERE idempotency_key = 'key-7'",
        "UPDATE audit_records SET body = replace(body, 'before_us\":', 'before_us\":9') WHERE sequence = 5",
    )
    report = verify_database(copy, signing_key.public)
    assert K.HASH_MISMATCH in {found.kind for found in report.problems}
