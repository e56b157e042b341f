"""`placet keys`: list, rotate and publish the keys that sign permits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from placet.cli.offline import open_settings
from placet.cli.options import ConfigFile, DataDir, OutputOption  # noqa: TC001 - typer reads them
from placet.cli.rendering.output import Output, print_fields, print_json, print_table
from placet.kernel.clock import rfc3339
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import PERMIT_KEY_LEAD_SECONDS, PERMIT_KEY_OVERLAP_SECONDS
from placet.permits.claims import jwk_set

if TYPE_CHECKING:
    from pathlib import Path

    from placet.permits.claims import PermitKey

app = typer.Typer(no_args_is_help=True, help="List, rotate and publish the keys that sign permits.")
_COLUMNS: Final = ("key_id", "state", "signs_from", "signs_until", "verifies_until")


@app.command("list")
def list_command(*, data_dir: DataDir = None, config: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """List the permit keys of this server, oldest first.

    States: `waits` to sign, `signs`, `verifies` (no longer signs), `expired`.

    Example: placet keys list --data-dir /var/lib/placet
    """
    now = int(time.time())
    rows = [_row(key, now) for key in _keys(open_settings(data_dir, config).permit_keys_dir)]
    if output is Output.JSON:
        print_json(rows)
    else:
        print_table(_COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])


@app.command("jwks")
def jwks_command(*, data_dir: DataDir = None, config: ConfigFile = None) -> None:
    """Print the public keys as a JWK set, for executors that verify permits offline.

    Example: placet keys jwks > executor/permit-keys.json
    """
    from placet.signing.permit_keys import verifies_at  # noqa: PLC0415 - slow to import

    now = int(time.time())
    keys = _keys(open_settings(data_dir, config).permit_keys_dir)
    typer.echo(jwk_set(key for key in keys if verifies_at(key, now)))


@app.command("rotate")
def rotate_command(
    *,
    after: Annotated[
        int,
        typer.Option(min=0, max=PERMIT_KEY_OVERLAP_SECONDS, help="Seconds until the new key signs."),
    ] = PERMIT_KEY_LEAD_SECONDS,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a new permit key.

    It is published at once and signs after a minute. The server can run. Run the command as its user.

    Example: placet keys rotate --data-dir /var/lib/placet
    """
    from placet.signing.permit_keys import rotate_permit_key  # noqa: PLC0415 - slow to import

    now = int(time.time())
    folder = open_settings(data_dir, config).permit_keys_dir
    _keys(folder)
    row = _row(rotate_permit_key(folder, now, after), now)
    if output is Output.JSON:
        print_json(row)
    else:
        print_fields(row.items())


def _keys(folder: Path) -> list[PermitKey]:
    from placet.signing.permit_keys import load_permit_keys  # noqa: PLC0415 - slow to import

    keys = [pair.public for pair in load_permit_keys(folder)]
    if not keys:
        raise ConfigurationError(f"{folder}: there are no permit keys; `placet serve` creates one, or name --data-dir")
    return keys


def _row(key: PermitKey, now: int) -> dict[str, str]:
    times = {
        "signs_from": key.signs_from,
        "signs_until": key.signs_until,
        "verifies_until": key.verifies_until,
    }
    texts = {name: rfc3339(seconds * 1_000_000) if seconds else "" for name, seconds in times.items()}
    return {"key_id": key.key_id, "state": _state(key, now)} | texts


def _state(key: PermitKey, now: int) -> str:
    if now < key.signs_from:
        return "waits"
    if not key.signs_until or now < key.signs_until:
        return "signs"
    return "verifies" if now < key.verifies_until else "expired"
