"""Access tokens on each engine, and from two replicas on one PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import NotFoundError
from placet.storage.postgres.offline import verify_url
from placet.storage.sqlite.offline import verify_database
from placet.tokens.secret import digest_of
from placet.tokens.uses import TokenUses
from tests.tokens.token_env import TokenEnv, asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.audit.ports import Ledger
    from placet.signing.keys import SigningKey
    from placet.storage.sqlite.backend import SqliteLedger
    from tests.storage.replicas import Replicas


async def use_tokens(ledger: Ledger) -> None:
    """Create two tokens, use one and revoke it."""
    env = TokenEnv(ledger)
    text, token = await env.tokens.create(asked("one"), "ann")
    _, kept = await env.tokens.create(asked("two"), "ann")
    assert await env.directory.find(digest_of(text)) == token
    uses = TokenUses(ledger)
    for process in (uses, TokenUses(ledger)):
        process.note(token.token_id, env.clock.wall)
        await process.store()
    await env.tokens.revoke(token.token_id, "acme", "ann", "lost")
    assert await env.directory.find(digest_of(text)) is None
    [listed] = await env.tokens.list("acme")
    assert (listed.token, listed.used_at_us) == (kept, 0)


async def test_on_sqlite(
    open_ledger: Callable[[], SqliteLedger], database: Path, signing_key: SigningKey, errors: list[BaseException]
) -> None:
    ledger = open_ledger()
    await use_tokens(ledger)
    await ledger.checkpoint()
    report = verify_database(database, signing_key.public, state=True)
    assert (report.problems, errors) == ((), [])


async def test_on_postgres(replicas: Replicas, signing_key: SigningKey) -> None:
    ledger = replicas.open()
    await use_tokens(ledger)
    await ledger.checkpoint()
    assert verify_url(replicas.url, signing_key.public, state=True).problems == ()


async def test_a_token_that_nobody_created_is_found(replicas: Replicas, signing_key: SigningKey) -> None:
    ledger = replicas.open()
    env = TokenEnv(ledger)
    _, token = await env.tokens.create(asked(), "ann")
    await ledger.checkpoint()
    columns = "tenant, 'tok_forged', 1, status, created_at_us, due_at_us, body"
    copy = f"SELECT {columns} FROM access_tokens WHERE id = '{token.token_id}'"  # noqa: S608 - the test's own
    replicas.server.run(f"INSERT INTO access_tokens {copy}", replicas.database)
    [problem] = verify_url(replicas.url, signing_key.public, state=True).problems
    assert problem.state is not None
    assert problem.state.id == "tok_forged"


async def test_a_revocation_that_is_undone_by_hand_is_found(replicas: Replicas, signing_key: SigningKey) -> None:
    ledger = replicas.open()
    env = TokenEnv(ledger)
    _, token = await env.tokens.create(asked(), "ann")
    await env.tokens.revoke(token.token_id, "", "ann", "lost")
    await ledger.checkpoint()
    undo = f"UPDATE access_tokens SET status = 'active' WHERE id = '{token.token_id}'"  # noqa: S608 - the test's own
    replicas.server.run(undo, replicas.database)
    [problem] = verify_url(replicas.url, signing_key.public, state=True).problems
    assert problem.state is not None
    assert problem.state.id == token.token_id


@pytest.fixture
def pair(replicas: Replicas) -> list[TokenEnv]:
    return [TokenEnv(replicas.open(writer), alone=False) for writer in ("a", "b")]


async def test_tokens_created_on_both_at_once_are_known_to_both(pair: list[TokenEnv]) -> None:
    made = await asyncio.gather(*(pair[number % 2].tokens.create(asked(f"n{number}"), "ann") for number in range(12)))
    for env in pair:
        env.clock.seconds += 2
        for text, token in made:
            assert await env.directory.find(digest_of(text)) == token


async def test_of_two_that_revoke_at_once_one_succeeds(pair: list[TokenEnv]) -> None:
    text, token = await pair[0].tokens.create(asked(), "ann")
    results = await asyncio.gather(
        *(env.tokens.revoke(token.token_id, "", "ann", "lost") for env in pair), return_exceptions=True
    )
    assert sorted(isinstance(result, NotFoundError) for result in results) == [False, True]
    for env in pair:
        env.clock.seconds += 2
        assert await env.directory.find(digest_of(text)) is None
