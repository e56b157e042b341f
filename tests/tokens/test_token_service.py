"""Creating, listing and revoking access tokens."""

from __future__ import annotations

import orjson
import pytest

from placet.audit.records import RecordKind
from placet.identity.model import Grant, Role, UserAssertion
from placet.kernel.errors import FailedPreconditionError, InvalidRequestError, NotFoundError
from placet.kernel.limits import (
    PRINCIPAL_BYTES_MAX,
    TOKEN_TENANTS_MAX,
    TOKEN_TTL_SECONDS_DEFAULT,
    TOKEN_TTL_SECONDS_MAX,
    TOKENS_MAX,
)
from placet.kernel.state import StateTable
from placet.tokens.secret import digest_of
from placet.tokens.uses import TokenUses
from tests.support.memory_ledger import MemoryLedger
from tests.support.replacing import replace
from tests.tokens.token_env import DAY_SECONDS, HOUR_US, RUNTIME, TokenEnv, asked, grant

APPROVER = grant(Role.APPROVER, "acme")
DANA = "dana@example.com"


def stored_bytes(env: TokenEnv) -> bytes:
    """Return all that the ledger holds: records with their parts, and rows."""
    assert isinstance(env.ledger, MemoryLedger)
    records = [(record.body, record.commitment.fields, *record.commitment.parts.values()) for record in env.ledger.log]
    return repr([records, list(env.ledger.stored.values())]).encode()


async def test_a_token_proves_whom_it_was_created_for() -> None:
    env = TokenEnv()
    text, token = await env.tokens.create(asked("ci", RUNTIME), "ann")
    found = await env.directory.find(digest_of(text))
    assert found == token
    principal = token.principal("ipv4:10.0.0.1:4000")
    assert (principal.caller.name, principal.caller.method, principal.person) == ("token:acme/ci", "token", "")
    assert (principal.grants, principal.token_id) == ((RUNTIME,), token.token_id)
    assert token.expires_at_us == env.clock.wall + TOKEN_TTL_SECONDS_DEFAULT * 1_000_000


async def test_two_tokens_of_one_person_are_one_person() -> None:
    env = TokenEnv()
    _, one = await env.tokens.create(
        asked("phone", APPROVER, person=" Dana@Example.com", roles=("lead", "lead")), "ann"
    )
    _, two = await env.tokens.create(asked("laptop", APPROVER, person=DANA), "ann")
    assert one.principal("").caller.name == two.principal("").caller.name == DANA
    assert one.principal("").person == two.principal("").person == one.principal("").caller.person == DANA
    assert one.principal("").roles == {"lead"}


async def test_tokens_of_one_name_are_one_program() -> None:
    env = TokenEnv()
    old, new = [(await env.tokens.create(asked("CI"), "ann"))[1] for _ in range(2)]
    assert old.token_id != new.token_id
    assert old.caller_id == new.caller_id == "token:acme/ci"


@pytest.mark.parametrize(
    ("grants", "caller_id"),
    [
        ([RUNTIME], "token:acme/ci"),
        ([RUNTIME, grant(Role.AUDITOR, "acme")], "token:acme/ci"),
        ([grant(Role.OPERATOR, "globex")], "token:globex/ci"),
        ([grant(Role.OPERATOR, "globex", "acme")], "token:acme+globex/ci"),
        ([RUNTIME, grant(Role.OPERATOR, "globex")], "token:acme+globex/ci"),
        ([grant(Role.OPERATOR, "*")], "token:ci"),
        ([RUNTIME, grant(Role.OPERATOR, "*")], "token:ci"),
    ],
)
async def test_programs_of_one_name_in_different_tenants_differ(grants: list[Grant], caller_id: str) -> None:
    """No admin of other tenants can create a credential of the program."""
    _, token = await TokenEnv().tokens.create(asked(" CI ", *grants), "ann")
    assert token.caller_id == caller_id
    assert len(token.caller_id) <= PRINCIPAL_BYTES_MAX


async def test_many_tenants_are_shortened_and_still_tell_programs_apart() -> None:
    tenants = [f"tenant-{number:02}" for number in range(TOKEN_TENANTS_MAX)]
    env = TokenEnv()
    one, other = [
        (await env.tokens.create(asked("n" * 128, grant(Role.OPERATOR, *names)), "ann"))[1].caller_id
        for names in (tenants, tenants[1:])
    ]
    assert one != other
    assert all(each.startswith("token:#") and len(each) <= PRINCIPAL_BYTES_MAX for each in (one, other))


async def test_a_person_is_the_same_in_all_tenants_and_counted_apart() -> None:
    env = TokenEnv()
    callers = [
        (await env.tokens.create(asked("phone", grant(Role.AUDITOR, tenant), person=DANA), "ann"))[1]
        .principal("")
        .caller
        for tenant in ("acme", "globex")
    ]
    assert {caller.name for caller in callers} == {DANA}
    assert [caller.counted_as for caller in callers] == [f"acme/ {DANA}", f"globex/ {DANA}"]


async def test_nothing_that_is_stored_has_the_text() -> None:
    env = TokenEnv()
    text, token = await env.tokens.create(asked(), "ann")
    await env.tokens.revoke(token.token_id, "", "ann", "lost")
    stored = stored_bytes(env)
    assert text.encode() not in stored
    assert text.removeprefix("placet_")[:20].encode() not in stored


async def test_no_record_has_the_hash() -> None:
    env = TokenEnv()
    text, _ = await env.tokens.create(asked(), "ann")
    assert isinstance(env.ledger, MemoryLedger)
    parts = [record.commitment.parts for record in env.ledger.log]
    assert digest_of(text) not in repr([(record.body, record.commitment.fields) for record in env.ledger.log])
    assert digest_of(text).encode() not in b"".join(content for each in parts for content in each.values())


async def test_a_text_finds_its_token_in_its_own_tenant_alone() -> None:
    env = TokenEnv()
    text, token = await env.tokens.create(asked("phone", APPROVER, person=DANA), "ann")
    for tenant in ("", "acme"):
        assert await env.tokens.id_of(digest_of(text), tenant) == token.token_id
    for digest, tenant in ((digest_of(text), "globex"), (digest_of(text[:-1]), "")):
        with pytest.raises(NotFoundError, match="has this text"):
            await env.tokens.id_of(digest, tenant)
    await env.tokens.revoke(token.token_id, "", "ann", "leaked")
    with pytest.raises(NotFoundError, match="it was revoked before"):
        await env.tokens.id_of(digest_of(text), "")


async def test_changes_are_recorded() -> None:
    env = TokenEnv()
    _, token = await env.tokens.create(asked("phone", APPROVER, person=DANA), "ann")
    await env.tokens.revoke(token.token_id, "acme", "bob", "lost the phone")
    assert isinstance(env.ledger, MemoryLedger)
    created, revoked = (record.commitment for record in env.ledger.log)
    assert (created.kind, created.tenant) == (RecordKind.TOKEN_CREATED, "acme")
    assert created.fields["token_id"] == revoked.fields["token_id"] == token.token_id
    part = orjson.loads(created.parts["control"])
    assert (part["actor"], part["person"], part["grants"][0]["role"]) == ("ann", DANA, "approver")
    assert (revoked.kind, revoked.tenant) == (RecordKind.TOKEN_REVOKED, "acme")
    assert orjson.loads(revoked.parts["control"])["reason"] == "lost the phone"


async def test_a_revoked_token_is_gone_when_the_call_returns() -> None:
    env = TokenEnv()
    text, token = await env.tokens.create(asked(), "ann")
    assert await env.directory.has(token.token_id)
    await env.tokens.revoke(token.token_id, "", "ann", "lost")
    assert await env.directory.find(digest_of(text)) is None
    assert not await env.directory.has(token.token_id)
    assert env.waits == 2
    with pytest.raises(NotFoundError, match=token.token_id):
        await env.tokens.revoke(token.token_id, "", "ann", "again")
    assert await env.tokens.list("") == []


async def test_a_refused_revocation_is_recorded() -> None:
    env = TokenEnv()
    with pytest.raises(NotFoundError):
        await env.tokens.revoke("tok_0000000000000000", "", "ann", "a guess")
    assert isinstance(env.ledger, MemoryLedger)
    assert [record.commitment.kind for record in env.ledger.log] == [RecordKind.CONTROL_REFUSED]


async def test_a_token_belongs_to_the_only_tenant_of_its_grants() -> None:
    env = TokenEnv()
    _, own = await env.tokens.create(asked("own", RUNTIME), "ann")
    _, both = await env.tokens.create(asked("both", grant(Role.OPERATOR, "acme", "globex")), "ann")
    _, every = await env.tokens.create(asked("every", grant(Role.ADMIN, "*")), "ann")
    _, mixed = await env.tokens.create(asked("mixed", RUNTIME, grant(Role.OPERATOR, "globex")), "ann")
    assert [listed.token for listed in await env.tokens.list("acme")] == [own]
    assert len(await env.tokens.list("")) == 4
    for other in (both, every, mixed):
        with pytest.raises(NotFoundError, match="acme alone"):
            await env.tokens.revoke(other.token_id, "acme", "eve", "not hers")
    with pytest.raises(NotFoundError):
        await env.tokens.revoke(own.token_id, "globex", "eve", "not hers")
    await env.tokens.revoke(own.token_id, "acme", "ann", "hers")


async def test_last_use_is_stored_by_the_hour() -> None:
    env = TokenEnv()
    uses = TokenUses(env.ledger)
    _, token = await env.tokens.create(asked(), "ann")
    [listed] = await env.tokens.list("")
    assert listed.used_at_us == 0
    first_us = env.clock.wall
    for minutes in (0, 1, 59):
        uses.note(token.token_id, first_us + minutes * HOUR_US // 60)
        await uses.store()
    [listed] = await env.tokens.list("")
    assert listed.used_at_us == first_us
    uses.note(token.token_id, first_us + HOUR_US)
    await uses.store()
    [listed] = await env.tokens.list("")
    assert listed.used_at_us == first_us + HOUR_US


async def test_another_process_need_not_store_the_same_use() -> None:
    env = TokenEnv()
    _, token = await env.tokens.create(asked(), "ann")
    for process in (TokenUses(env.ledger), TokenUses(env.ledger)):
        process.note(token.token_id, env.clock.wall)
        await process.store()
    assert isinstance(env.ledger, MemoryLedger)
    assert [row.version for key, row in env.ledger.stored.items() if key.table is StateTable.TOKEN_USES] == [1]


async def test_expired_tokens_are_listed_for_a_month() -> None:
    env = TokenEnv()
    _, token = await env.tokens.create(asked(after=DAY_SECONDS), "ann")
    env.clock.wall += 2 * DAY_SECONDS * 1_000_000
    assert token.expired(env.clock.wall)
    assert [listed.token for listed in await env.tokens.list("")] == [token]
    env.clock.wall += 30 * DAY_SECONDS * 1_000_000
    _, newer = await env.tokens.create(asked(), "ann")
    assert [listed.token for listed in await env.tokens.list("")] == [newer]


async def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.tokens.service.TOKENS_MAX", 3)
    env = TokenEnv()
    for _ in range(3):
        await env.tokens.create(asked(after=DAY_SECONDS), "ann")
    with pytest.raises(FailedPreconditionError, match=f"{TOKENS_MAX} access tokens"):
        await env.tokens.create(asked(), "ann")
    env.clock.wall += 2 * DAY_SECONDS * 1_000_000
    await env.tokens.create(asked(), "ann")
    assert len(await env.tokens.list("")) == 4


@pytest.mark.parametrize(
    ("new", "field"),
    [
        pytest.param(asked(""), "name", id="no name"),
        pytest.param(asked("a" * 129), "name", id="long name"),
        pytest.param(asked("a\u200bb"), "name", id="invisible character"),
        pytest.param(asked("a\nb"), "name", id="newline"),
        pytest.param(asked("acme/ci"), "name", id="a name that passes for a tenant's"),
        pytest.param(asked("acme\uff0fci"), "name", id="in wide letters"),
        pytest.param(asked("ci", person="token:ci"), "person.id", id="a person named like a program"),
        pytest.param(asked("ci", person="TOKEN:ci"), "person.id", id="in capitals"),
        pytest.param(asked("ci", person="Spiffe://example.org/a"), "person.id", id="a person named like a certificate"),
        pytest.param(asked("ci", person="\uff54oken:ci"), "person.id", id="in wide letters"),
        pytest.param(asked("ci", roles=("lead",)), "person.roles", id="roles of nobody"),
        pytest.param(asked("ci", APPROVER), "person.id", id="an approver who is no person"),
        pytest.param(asked("ci", person=DANA, roles=("",)), "person.roles[0]", id="empty role"),
        pytest.param(asked(after=TOKEN_TTL_SECONDS_MAX + 1), "expires_after_seconds", id="too long"),
        pytest.param(asked(after=-1), "expires_after_seconds", id="negative"),
        pytest.param(replace(asked(), grants=()), "grants", id="no grants"),
        pytest.param(asked("ci", *[RUNTIME] * 17), "grants", id="many grants"),
        pytest.param(asked("ci", grant(Role.OPERATOR, "Acme")), "grants[0].tenants", id="no tenant"),
        pytest.param(asked("ci", grant(Role.OPERATOR, "../x")), "grants[0].tenants", id="a path"),
        pytest.param(asked("ci", grant(Role.OPERATOR, "*", "acme")), "grants[0].tenants", id="every one and more"),
        pytest.param(asked("ci", grant(Role.AGENT_RUNTIME, "*", agents=("*",))), "grants[0].tenants", id="wildcard"),
        pytest.param(asked("ci", grant(Role.AGENT_RUNTIME, "acme")), "grants[0].agents", id="no agents"),
        pytest.param(asked("ci", grant(Role.OPERATOR, "acme", agents=("a",))), "grants[0].agents", id="not a runtime"),
        pytest.param(
            asked("ci", grant(Role.AGENT_RUNTIME, "acme", agents=("",))), "grants[0].agents[0]", id="empty agent"
        ),
        pytest.param(
            asked("ci", replace(grant(Role.OPERATOR, "acme"), user=UserAssertion.TRUSTED)),
            "grants[0].agents",
            id="users of no runtime",
        ),
    ],
)
async def test_wrong_requests_are_refused(new: object, field: str) -> None:
    env = TokenEnv()
    with pytest.raises(InvalidRequestError) as refused:
        await env.tokens.create(new, "ann")  # type: ignore[arg-type]
    assert [violation.field for violation in refused.value.violations] == [field]
    assert isinstance(env.ledger, MemoryLedger)
    assert not env.ledger.log
