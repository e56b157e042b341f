"""`placet dev-certs`: create certificates for development."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from placet.cli.rendering.output import print_fields

app = typer.Typer()


@app.command()
def dev_certs_command(
    folder: Annotated[Path, typer.Argument(help="Folder for the files. Created when it does not exist.")],
    *,
    host: Annotated[
        list[str], typer.Option(help="Host name or address of the server. Repeat it for several.", metavar="HOST")
    ] = ["localhost", "127.0.0.1", "::1"],  # noqa: B006 - typer reads it, nothing changes it
    client: Annotated[
        list[str] | None,
        typer.Option(help="SPIFFE id of a client that gets a certificate. Repeat it for several.", metavar="SPIFFE_ID"),
    ] = None,
) -> None:
    """Create a CA, a server certificate and client certificates for development. They are valid for 30 days.

    The key of the CA is not kept, so that nothing else can be signed with it.

    Example: placet dev-certs certs --client spiffe://example.org/agents/support
    """
    from placet.authentication.dev_certificates import write_dev_certificates  # noqa: PLC0415 - slow to import

    written = write_dev_certificates(folder, host, client or [])
    print_fields([(path.name, str(path)) for path in written])
    typer.echo(
        f"\nNext: placet serve --tls-cert-file {folder}/tls.crt --tls-key-file {folder}/tls.key"
        + (f" --tls-client-ca-file {folder}/ca.crt --auth-file auth.toml" if client else "")
        + f"\nClients: export PLACET_TLS_CA_FILE={folder}/ca.crt",
        err=True,
    )
