"""`placet health`: ask a server for its health, as probes do."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from placet.cli.options import Address, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering import exit_codes
from placet.sdk.defaults import DEFAULT_ADDRESS

app = typer.Typer()
_TIMEOUT_SECONDS: Final = 3.0


@app.command()
def health_command(
    *,
    address: Address = DEFAULT_ADDRESS,
    service: Annotated[
        str,
        typer.Option(
            help="Part to ask for: placet.policy, placet.engine or placet.store. Default: all.", metavar="NAME"
        ),
    ] = "",
    answers: Annotated[
        bool, typer.Option("--answers", help="Also exit with code 0 when it answers that it cannot decide.")
    ] = False,
    server_name: Annotated[
        str,
        typer.Option(help="Name in the server's certificate. Default: the host of --address.", metavar="HOST"),
    ] = "",
    timeout: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Print whether a server can decide. No credential is needed.

    Exit code 0 when it is SERVING, 1 when it is not, 5 when it cannot be reached. With TLS, set PLACET_TLS_CA_FILE.

    Example: placet health --address 127.0.0.1:7070
    """
    import grpc  # noqa: PLC0415 - slow to import
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - likewise

    from placet.kernel.errors import ConfigurationError  # noqa: PLC0415 - likewise
    from placet.sdk._transport.options import OPTIONS  # noqa: PLC0415 - likewise
    from placet.sdk._transport.tls import environment_credentials  # noqa: PLC0415 - likewise

    try:
        credentials = environment_credentials(address)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    options = [*OPTIONS, *([("grpc.ssl_target_name_override", server_name)] if server_name else [])]
    channel = (
        grpc.insecure_channel(address, options=options)
        if credentials is None
        else grpc.secure_channel(address, credentials, options=options)
    )
    with channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
        except grpc.RpcError as error:
            code, details = getattr(error, "code", lambda: None)(), getattr(error, "details", str)()
            if code is grpc.StatusCode.NOT_FOUND:
                raise ConfigurationError(f"--service: the server has no part {service!a}") from error
            typer.echo(f"placet: {address}: {details or code}; start the server, or correct --address", err=True)
            raise typer.Exit(exit_codes.NO_DECISION) from error
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    typer.echo(state)
    raise typer.Exit(exit_codes.OK if answers or state == "SERVING" else exit_codes.CHECK_FAILED)
