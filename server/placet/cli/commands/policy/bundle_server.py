"""`placet bundle-server`: serve a folder of policy bundles over HTTP."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from placet.engine.download import read_token
from placet.kernel.errors import ConfigurationError
from placet.matching.addresses import is_loopback, split_address
from placet.policy.bundles.signatures import read_verification_keys

app = typer.Typer()


@app.command()
def bundle_server_command(
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

    An address beyond loopback needs --pull-token-file and TLS.

    Example: placet bundle-server /srv/bundles --listen 127.0.0.1:7080
    """
    from placet.transport.http.bundles import BundleFolder, bundle_app  # noqa: PLC0415 - slow to import
    from placet.transport.http.serving import serve_http  # noqa: PLC0415 - likewise

    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; create it")
    if (tls_cert_file is None) != (tls_key_file is None):
        raise typer.BadParameter("belong together; name both or neither", param_hint="--tls-cert-file, --tls-key-file")
    tls = (tls_cert_file, tls_key_file) if tls_cert_file is not None and tls_key_file is not None else None
    _require_safe(listen, pulls_need_token=pull_token_file is not None, encrypted=tls is not None or tls_terminated)
    served = BundleFolder(
        folder,
        read_token(pull_token_file) if pull_token_file is not None else "",
        read_token(push_token_file) if push_token_file is not None else "",
        read_verification_keys(verification_key) if verification_key is not None else (),
    )
    serve_http(bundle_app(served), listen, tls, lambda address: typer.echo(f"serving {folder} at {address}", err=True))


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
