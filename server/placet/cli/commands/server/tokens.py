"""`placet tokens`: create, list and revoke access tokens, by a server or in its database."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from placet import sdk
from placet.cli.notices import tenants_of_server, warn_unknown_tenants
from placet.cli.offline import naming_data_dir, open_settings
from placet.cli.options import (
    ActingPerson,
    Address,
    ConfigFile,
    DatabaseUrl,
    DataDir,
    OutputOption,
    Reason,
    Timeout,
    or_login_name,
)
from placet.cli.rendering.output import Output, print_json, print_table
from placet.cli.rendering.token_documents import COLUMNS, stored_token, token_document, token_row
from placet.cli.secret_input import STDIN, read_secret
from placet.identity.model import EVERY_TENANT, Role, UserAssertion
from placet.kernel.errors import ConfigurationError, FailedPreconditionError, InvalidRequestError, NotFoundError
from placet.kernel.limits import TOKEN_TTL_SECONDS_DEFAULT, TOKEN_TTL_SECONDS_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS
from placet.tokens.secret import TOKEN_PREFIX, digest_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from pathlib import Path

    from placet.server.settings.model import Settings
    from placet.tokens.service import Tokens

T = TypeVar("T")
_DAY_SECONDS: Final = 86_400
_TIMEOUT_SECONDS: Final = 10.0
"""A change waits a second, until every replica knows it."""
app = typer.Typer(no_args_is_help=True, help="Create, list and revoke access tokens.")

Roles = Annotated[
    list[Role], typer.Option("--role", help="What its bearer may do. Repeat for several.", metavar="ROLE")
]
Tenants = Annotated[
    list[str],
    typer.Option(
        "--tenant",
        help="Tenant of its roles. Repeat for several. '*' is every tenant, not for runtimes, executors and approvers.",
        metavar="TENANT",
    ),
]
Agents = Annotated[
    list[str] | None,
    typer.Option(
        "--agent", help="Agent that an agent_runtime may name; * matches any text. Repeat for several.", metavar="AGENT"
    ),
]
UserOption = Annotated[
    UserAssertion,
    typer.Option("--user", help="How an agent_runtime may name users: believed, by the user's own token, or never."),
]
PersonOption = Annotated[
    str,
    typer.Option(
        "--person", help="Person whose token it is, e.g. an e-mail address. Default: a program.", show_default=False
    ),
]
PersonRoles = Annotated[
    list[str] | None,
    typer.Option(
        "--person-role", help="Role of the person in the organisation, e.g. support_lead. Repeat for several."
    ),
]
ExpiresDays = Annotated[
    int,
    typer.Option(min=1, max=TOKEN_TTL_SECONDS_MAX // _DAY_SECONDS, help="Days until it expires.", metavar="DAYS"),
]
OneTenant = Annotated[
    str,
    typer.Option(
        "--tenant",
        help="Only tokens whose every grant is for this tenant. Default: all, which takes a grant for every tenant.",
        metavar="TENANT",
        show_default=False,
    ),
]


@app.command("create")
def create_command(  # noqa: PLR0913 - one option for each property
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    *,
    role: Roles,
    tenant: Tenants,
    agent: Agents = None,
    user: UserOption = UserAssertion.NEVER,
    person: PersonOption = "",
    person_role: PersonRoles = None,
    expires_days: ExpiresDays = TOKEN_TTL_SECONDS_DEFAULT // _DAY_SECONDS,
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = _TIMEOUT_SECONDS,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create an access token and print it. It is printed this once only, alone on stdout.

    With --data-dir, --database-url or --config the token is created in the database, while no server runs: so you
    create the first one, of an admin.

    Example: placet tokens create support --role agent_runtime --tenant acme --agent 'support-*'
    """
    if Role.AGENT_RUNTIME not in role and (agent or user is not UserAssertion.NEVER):
        raise typer.BadParameter("--agent and --user are for --role agent_runtime; leave them out")
    if Role.AGENT_RUNTIME in role and not agent:
        raise typer.BadParameter("--agent is required for --role agent_runtime; name its agents, '*' for all")
    if Role.APPROVER in role and not person:
        raise typer.BadParameter("--person is required for --role approver: only people vote")
    grants = [_grant(each, tenant, agent or [], user) for each in role]
    who = sdk.Person(person, person_role or ()) if person or person_role else None
    seconds = expires_days * _DAY_SECONDS
    place = ""
    if settings := _offline(data_dir, database_url, config):
        place = "" if settings.database_url else f" in {settings.data_dir}"
        created = _created_offline(settings, name, grants, who, seconds, or_login_name(actor))
    else:
        with sdk.TokenClient(address, timeout=timeout) as client:
            created = client.create(name, grants, person=who, expires_after_seconds=seconds, actor=actor)
    known = _tenants_of_folder(settings) if settings else tenants_of_server(address)
    if known:
        warn_unknown_tenants([each for each in tenant if each != EVERY_TENANT], known)
    if output is Output.JSON:
        print_json({"token": token_document(created.token), "secret": created.secret})
        return
    expiry = token_document(created.token)["expires_at"]
    typer.echo(f"{created.token.id}{place} expires at {expiry}. Store the token now, it is not shown again:", err=True)
    typer.echo(created.secret)


@app.command("list")
def list_command(
    *,
    tenant: OneTenant = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = _TIMEOUT_SECONDS,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List access tokens, newest first, with their expiry and last use.

    Revoked tokens are left out; the audit trail has them.

    Example: placet tokens list --tenant acme
    """
    if settings := _offline(data_dir, database_url, config):
        now_us = time.time_ns() // 1_000
        listed = _run(settings, lambda tokens: tokens.list(tenant))
        found = tuple(stored_token(each, now_us) for each in listed)
    else:
        with sdk.TokenClient(address, timeout=timeout) as client:
            found = client.list(tenant)
    if output is Output.JSON:
        print_json({"tokens": [token_document(token) for token in found]})
    else:
        print_table(COLUMNS, [token_row(token) for token in found])


@app.command("revoke")
def revoke_command(  # noqa: PLR0913 - how to reach the token, and what to do
    token_id: Annotated[
        str, typer.Argument(help="The token, tok_...; or - to read its text from standard input.", metavar="TOKEN_ID")
    ],
    *,
    reason: Reason,
    tenant: OneTenant = "",
    actor: ActingPerson = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = _TIMEOUT_SECONDS,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
) -> None:
    """Revoke an access token. When the command returns, no replica answers a call that presents it.

    With - it reads a token that leaked, and whose id you do not know, from standard input.

    Example: placet tokens revoke tok_0123456789abcdef --reason 'laptop lost'
    """
    if token_id.startswith(TOKEN_PREFIX):
        raise typer.BadParameter(
            "this is a token itself, and others can read command lines; write - and pass it on standard input, or name "
            "its id, tok_..., that `placet tokens list` shows"
        )
    secret = read_secret() if token_id == STDIN else ""
    if settings := _offline(data_dir, database_url, config):
        name = or_login_name(actor)

        async def revoke(tokens: Tokens) -> str:
            found = await tokens.id_of(digest_of(secret), tenant) if secret else token_id
            return (await tokens.revoke(found, tenant, name, reason)).token_id

        revoked = _run(settings, revoke)
    else:
        with sdk.TokenClient(address, timeout=timeout) as client:
            how = {"reason": reason, "tenant": tenant, "actor": actor}
            revoked = (client.revoke_text(secret, **how) if secret else client.revoke(token_id, **how)).id
    typer.echo(f"{revoked} is revoked")


def _grant(role: Role, tenants: list[str], agents: list[str], user: UserAssertion) -> sdk.TokenGrant:
    """Return the grant of a role. Agents and users are for an agent runtime alone."""
    if role is not Role.AGENT_RUNTIME:
        return sdk.TokenGrant(sdk.CallerRole(role), tenants)
    return sdk.TokenGrant(sdk.CallerRole(role), tenants, agents, sdk.UserAssertion(user))


def _offline(data_dir: Path | None, database_url: str | None, config: Path | None) -> Settings | None:
    """Return the settings of the database; None to ask a server."""
    if data_dir is None and database_url is None and config is None:
        return None
    return open_settings(data_dir, config, database_url)


def _tenants_of_folder(settings: Settings) -> Collection[str]:
    """Return the tenants of the policy folder; none where the policy is read from an address."""
    return [] if settings.policy_url else [path.stem for path in settings.rego_dir.glob("config/*.yaml")]


def _created_offline(
    settings: Settings, name: str, grants: list[sdk.TokenGrant], person: sdk.Person | None, seconds: int, actor: str
) -> sdk.CreatedToken:
    from placet.identity.model import Grant  # noqa: PLC0415 - with the server's modules below
    from placet.tokens.model import NewToken  # noqa: PLC0415 - slow to import
    from placet.tokens.service import Listed  # noqa: PLC0415 - likewise

    stored = tuple(
        Grant(Role(grant.role), frozenset(grant.tenants), tuple(grant.agents), UserAssertion(grant.user))
        for grant in grants
    )
    who = person or sdk.Person("")
    new = NewToken(name, stored, who.id, tuple(who.roles), seconds)
    secret, token = _run(settings, lambda tokens: tokens.create(new, actor))
    return sdk.CreatedToken(stored_token(Listed(token, 0), token.created_at_us), secret)


def _run(settings: Settings, work: Callable[[Tokens], Awaitable[T]]) -> T:
    """Do the work on the tokens in the database. Raises ConfigurationError for each failure."""
    from placet.server.callers.tokens import tokens_without_server  # noqa: PLC0415 - slow to import

    errors: list[BaseException] = []

    async def run() -> T:
        async with tokens_without_server(settings, errors.append) as tokens:
            return await work(tokens)

    try:
        with naming_data_dir(settings):
            return asyncio.run(run())
    except (InvalidRequestError, NotFoundError, FailedPreconditionError) as error:
        raise ConfigurationError(str(error)) from error
