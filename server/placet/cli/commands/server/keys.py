"""`placet keys`: list, rotate and publish the keys that sign permits: those in a folder, or those of a server."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from placet import sdk
from placet.cli.commands.server.permit_key_place import NAME_SETTING, keys_in_folder
from placet.cli.offline import naming_data_dir, open_settings
from placet.cli.options import (
    ActingPersonIfNeeded,
    ConfigFile,
    DatabaseUrl,
    DataDir,
    OutputOption,
    Reason,
    Timeout,
    or_credential,
    or_login_name,
    reachable,
)
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.kernel.clock import rfc3339
from placet.kernel.errors import ConfigurationError, FailedPreconditionError, PermitKeysUnavailableError
from placet.kernel.limits import PERMIT_KEY_LEAD_SECONDS, PERMIT_KEY_OVERLAP_SECONDS
from placet.permits.claims import PermitKey, jwk_set

if TYPE_CHECKING:
    from placet.server.settings.model import Settings

app = typer.Typer(no_args_is_help=True, help="List, rotate and publish the keys that sign permits.")
_COLUMNS: Final = ("key_id", "state", "signs_from", "signs_until", "verifies_until")
_TIMEOUT_SECONDS: Final = 10.0
_SECOND_US: Final = 1_000_000


class Use(StrEnum):
    """What a key signs."""

    PERMIT = "permit"


KeyAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Address of a server, whose keys are meant. Default: the keys in the data directory.",
        metavar="HOST:PORT",
        rich_help_panel="Connection",
        show_default=False,
        callback=reachable,
    ),
]


@app.command("list")
def list_command(
    *,
    address: KeyAddress = None,
    timeout: Timeout = _TIMEOUT_SECONDS,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the permit keys, oldest first.

    States: `waits` to sign, `signs`, `verifies` (no longer signs), `expired`. Where the keys are in the database, name
    a server with --address.

    Example: placet keys list --data-dir /var/lib/placet
    """
    if address is not None:
        with sdk.KeyClient(address, timeout=timeout) as client:
            rows = [_row_of_server(key) for key in client.list()]
    else:
        now = int(time.time())
        rows = [_row(key, now) for key in keys_in_folder(open_settings(data_dir, config))]
    if output is Output.JSON:
        print_json(rows)
    else:
        print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])


@app.command("jwks")
def jwks_command(
    *,
    address: KeyAddress = None,
    timeout: Timeout = _TIMEOUT_SECONDS,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Print the public keys as a JWK set, for executors that verify permits offline.

    A server with the setting http_listen also serves it as /.well-known/jwks.json.

    Example: placet keys jwks > executor/permit-keys.json
    """
    if address is not None:
        with sdk.ControlClient(address, timeout=timeout) as control:
            typer.echo(control.permit_keys())
        return
    from placet.permits.schedule import verifies_at  # noqa: PLC0415 - slow to import

    now = int(time.time())
    keys = keys_in_folder(open_settings(data_dir, config))
    typer.echo(jwk_set(key for key in keys if verifies_at(key, now)))


@app.command("rotate")
def rotate_command(  # noqa: PLR0913 - where the keys are, and what to do
    use: Annotated[Use, typer.Argument(help="What the key signs.", metavar="[permit]")] = Use.PERMIT,
    *,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=PERMIT_KEY_OVERLAP_SECONDS,
            help="Seconds until the new key signs. Not with --withdraw.",
            show_default=str(PERMIT_KEY_LEAD_SECONDS),
        ),
    ] = None,
    withdraw: Annotated[
        bool,
        typer.Option(
            "--withdraw",
            help="Withdraw all other keys, because others may have read them. The new key signs at once.",
        ),
    ] = False,
    reason: Reason = "rotation",
    actor: ActingPersonIfNeeded = "",
    address: KeyAddress = None,
    timeout: Timeout = _TIMEOUT_SECONDS,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a new permit key.

    It is published at once and signs after a minute. The server can run: for keys in a folder, run the command as its
    user; for keys in the database, name it with --address. Without a server, the settings of the database and of its
    key-encryption key are needed. Files are not changed while the keys of the server are in its database.

    Example: placet keys rotate permit --address 127.0.0.1:7070
    """
    del use  # there is only one
    after_seconds = _after_seconds(after, withdraw=withdraw)
    if address is not None:
        row = _rotated_by_server(address, timeout, after_seconds, reason, actor, withdraw=withdraw)
    else:
        settings = open_settings(data_dir, config, database_url)
        if settings.has_shared_keys:
            key = _rotated_in_database(settings, after_seconds, reason, or_login_name(actor), withdraw=withdraw)
        else:
            key = _rotated_in_folder(settings, after_seconds, withdraw=withdraw)
        row = _row(key, int(time.time()))
    if output is Output.JSON:
        print_json(row)
    else:
        print_fields(row.items())


def _after_seconds(after: int | None, *, withdraw: bool) -> int:
    """Return the delay of the new key. Raises ConfigurationError when a withdrawal is asked to wait."""
    if withdraw and after:
        raise ConfigurationError("--after: cannot be combined with --withdraw, whose new key signs at once; remove one")
    return 0 if withdraw else PERMIT_KEY_LEAD_SECONDS if after is None else after


def _rotated_by_server(
    address: str, timeout: float, after: int, reason: str, actor: str, *, withdraw: bool
) -> dict[str, str]:
    with sdk.KeyClient(address, timeout=timeout) as client:
        key = client.rotate_permit_key(
            reason=reason, actor=or_credential(actor), after_seconds=after, withdraw=withdraw
        )
    return _row_of_server(key)


def _rotated_in_folder(settings: Settings, after: int, *, withdraw: bool) -> PermitKey:
    from placet.signing.permit_keys import rotate_permit_key, withdraw_permit_keys  # noqa: PLC0415 - slow to import

    folder = settings.permit_keys_folder
    if settings.permit_keys_dir:
        raise ConfigurationError(
            f"permit_keys_dir: {folder} is written by others; add a key there that signs later: `openssl genpkey "
            "-algorithm ed25519 -out $(date -d '+1 hour' +%s).pem`"
        )
    before = keys_in_folder(settings, NAME_SETTING)
    key = rotate_permit_key(folder, int(time.time()), after)
    if withdraw:
        withdraw_permit_keys(folder, before)
    return key


def _rotated_in_database(settings: Settings, after: int, reason: str, actor: str, *, withdraw: bool) -> PermitKey:
    """Rotate in the database of the settings, while no server of this replica runs."""
    from placet.server.parts.permit_keys import keys_without_server  # noqa: PLC0415 - slow to import

    errors: list[BaseException] = []

    async def run() -> PermitKey:
        async with keys_without_server(settings, errors.append) as changes:
            return await changes.rotate(after, actor, reason, withdraw=withdraw)

    try:
        with naming_data_dir(settings):
            return asyncio.run(run())
    except (FailedPreconditionError, PermitKeysUnavailableError) as error:
        raise ConfigurationError(str(error)) from error


def _row(key: PermitKey, now: int) -> dict[str, str]:
    times = (key.signs_from, key.signs_until, key.verifies_until)
    texts = [rfc3339(seconds * _SECOND_US) if seconds else "" for seconds in times]
    return _named(key.key_id, key.state_at(now).value, *texts)


def _row_of_server(key: sdk.Key) -> dict[str, str]:
    times = (key.signs_from, key.signs_until, key.verifies_until)
    return _named(key.id, key.state.value, *map(time_text, times))


def _named(*values: str) -> dict[str, str]:
    return dict(zip(_COLUMNS, values, strict=True))
