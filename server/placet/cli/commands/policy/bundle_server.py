"""`placet bundle-server`: serve a folder of policy bundles over HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Final

import typer

from placet.cli.offline import open_settings
from placet.cli.options import DatabaseUrl, DataDir  # noqa: TC001 - typer reads them
from placet.engine.download import read_token
from placet.kernel.errors import ConfigurationError
from placet.matching.addresses import is_loopback, split_address
from placet.policy.bundles.signatures import read_verification_keys
from placet.telemetry.log import configure

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from placet.transport.http.bundle_callers import OpenAuthenticator
    from placet.transport.http.bundles import Push

LOG: Final = ("info", "json")
"""Level and format of the log."""
app = typer.Typer()


@app.command()
def bundle_server_command(  # noqa: PLR0913 - one option for each property
    folder: Annotated[Path, typer.Argument(help="Folder of the bundles.", metavar="DIR")],
    *,
    listen: Annotated[str, typer.Option(help="Address, host:port.", metavar="HOST:PORT")] = "127.0.0.1:7080",
    pull_token_file: Annotated[
        Path | None,
        typer.Option(help="File with the bearer token that reading needs. Default: everybody reads.", metavar="FILE"),
    ] = None,
    push_token_file: Annotated[
        Path | None,
        typer.Option(help="File with the bearer token that writing needs. Default: none is taken.", metavar="FILE"),
    ] = None,
    auth_file: Annotated[
        Path | None,
        typer.Option(
            help="Authentication file, as servers read it: then policy_authors and admins push, with their own access "
            "tokens or JWTs.",
            metavar="FILE",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    verification_key: Annotated[
        Path | None,
        typer.Option(help="Public keys in PEM, one of which must have signed what is pushed.", metavar="FILE"),
    ] = None,
    tls_cert_file: Annotated[
        Path | None, typer.Option(help="Certificate of the server, in PEM.", metavar="FILE")
    ] = None,
    tls_key_file: Annotated[Path | None, typer.Option(help="Private key of the certificate.", metavar="FILE")] = None,
    tls_terminated: Annotated[
        bool, typer.Option("--tls-terminated", help="A proxy before the server ends TLS.")
    ] = False,
) -> None:
    """Serve the .tar.gz files of a folder as policy bundles, with ETag and long polling.

    An address beyond loopback needs --pull-token-file and TLS. With --auth-file, access tokens are looked up in the
    database of the servers.

    Example: placet bundle-server /srv/bundles --listen 127.0.0.1:7080
    """
    from placet.transport.http.bundle_callers import BundleCallers  # noqa: PLC0415 - slow to import
    from placet.transport.http.bundles import BundleFolder, bundle_app  # noqa: PLC0415 - likewise
    from placet.transport.http.serving import serve_http  # noqa: PLC0415 - likewise

    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; create it")
    if (tls_cert_file is None) != (tls_key_file is None):
        raise typer.BadParameter("belong together; name both or neither", param_hint="--tls-cert-file, --tls-key-file")
    tls = (tls_cert_file, tls_key_file) if tls_cert_file is not None and tls_key_file is not None else None
    _require_safe(listen, pulls_need_token=pull_token_file is not None, encrypted=tls is not None or tls_terminated)
    if auth_file is not None and push_token_file is not None:
        raise typer.BadParameter("exclude each other; name one", param_hint="--auth-file, --push-token-file")
    log = configure(*LOG)
    callers = BundleCallers(
        read_token(pull_token_file) if pull_token_file is not None else "",
        read_token(push_token_file) if push_token_file is not None else "",
        _authentication(auth_file, data_dir, database_url, log) if auth_file is not None else None,
    )
    keys = read_verification_keys(verification_key) if verification_key is not None else ()
    served = BundleFolder(folder, callers, keys, partial(_log_push, log))
    serve_http(bundle_app(served), listen, tls, lambda address: typer.echo(f"serving {folder} at {address}", err=True))


def _authentication(
    auth_file: Path, data_dir: Path | None, database_url: str | None, log: BoundLogger
) -> OpenAuthenticator:
    from placet.server.callers.bundle_server import pushers_authentication  # noqa: PLC0415 - slow to import

    settings = open_settings(data_dir, None, database_url)
    return pushers_authentication(auth_file, settings.database, log)


def _log_push(log: BoundLogger, push: Push) -> None:
    who = {"caller": push.pusher.caller, "person": push.pusher.person}
    if push.refused:
        log.warning("push refused", bundle=push.name, reason=push.refused, **who)
    else:
        log.info("bundle pushed", bundle=push.name, revision=push.revision, **who)


def _require_safe(listen: str, *, pulls_need_token: bool, encrypted: bool) -> None:
    """Refuse an address that other machines reach, unless reading needs a token and nothing travels unencrypted."""
    try:
        host, _ = split_address(listen)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
    if not is_loopback(host) and not (pulls_need_token and encrypted):
        raise typer.BadParameter(
            "is reachable from other machines; name --pull-token-file, and --tls-cert-file and --tls-key-file, or "
            "--tls-terminated if a proxy ends TLS",
            param_hint="--listen",
        )
