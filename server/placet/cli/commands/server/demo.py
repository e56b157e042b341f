"""`placet demo`: run a server, replay example calls, and print the decisions as tables."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping, Sequence  # noqa: TC003 - typer reads them
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import uvloop
from rich.console import Console

from placet import sdk
from placet.cli.options import ConfigFile  # noqa: TC001 - typer reads it
from placet.cli.scenarios.player import Row, replay_script
from placet.cli.scenarios.script import Script, load_script_for_server
from placet.cli.scenarios.steps import Call
from placet.cli.scenarios.table import table_of
from placet.cli.settings_flags import with_settings
from placet.server.lifecycle import serve as serve_until_stopped
from placet.server.settings.model import Settings, shipped_dir
from placet.server.settings.sources import load_settings

if TYPE_CHECKING:
    from placet.server.core import RunningServer

app = typer.Typer()

_SCRIPTS: Final = shipped_dir("_demo", "deploy/demo")
DEFAULT_SCRIPTS: Final = (_SCRIPTS / "support-day.yaml", _SCRIPTS / "limits-that-hold.yaml")
_PLAIN_WIDTH: Final = 200
"""Columns of output that does not go to a terminal."""


@app.command("demo")
@with_settings
def demo(
    *,
    flags: Mapping[str, Any],
    config: ConfigFile = None,
    script: Annotated[
        list[Path],
        typer.Option(
            "--script",
            help="YAML script to replay. May be repeated. Default: the shipped scripts.",
            metavar="FILE",
            show_default=False,
        ),
    ] = [*DEFAULT_SCRIPTS],  # noqa: B006 - typer copies it
    exit_: Annotated[bool, typer.Option("--exit", help="Exit after the replay. Default: keep running.")] = False,
) -> None:
    """Run a server, replay scripts of tool calls, verify the trail, and keep running.

    Takes all settings of `placet serve`, and runs one process. log_level is warning by default. Without ./rego it
    serves the shipped example policy. Exit code 1 when an answer differs from its script, or the trail does not verify.

    Example: placet demo --exit
    """
    flags = {**flags, "log_level": flags.get("log_level") or "warning"}
    settings, sources = load_settings(flags, config)
    if sources["rego_dir"] == "default" and not settings.rego_dir.is_dir():
        settings, _ = load_settings({**flags, "rego_dir": shipped_dir("_rego", "rego")}, config)
    one_process = settings.model_copy(update={"workers": 1})
    raise typer.Exit(run_demo(one_process, script, stay=not exit_))


def run_demo(settings: Settings, script_files: Sequence[Path], *, stay: bool) -> int:
    """Run a server, replay the scripts and verify the trail. With `stay`, keep running until a signal.

    Returns 0 when every answer is as expected and the trail verifies, else 1. ConfigurationError when the server
    cannot start.
    """
    scripts = [load_script_for_server(file) for file in script_files]
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    replayed: list[bool] = []

    async def replay(server: RunningServer) -> bool:
        replayed.append(await _show(console, scripts, server))
        if stay:
            _invite(console, scripts[0], server)
        return stay

    code = uvloop.run(serve_until_stopped(settings, replay))
    return code or (0 if all(replayed) else 1)


async def _show(console: Console, scripts: Sequence[Script], server: RunningServer) -> bool:
    status = server.policies.status()
    console.print(f"Placet serves {server.address}; OPA {status.engine_version}, policy {status.revision}")
    rows: list[Row] = []
    for script in scripts:
        played = await replay_script(script, server.address)
        console.print(f"\n[bold]{script.description}[/bold]")
        console.print(table_of(played, console.width))
        rows += played
    wrong = [row for row in rows if not row.as_expected]
    for row in wrong:
        console.print(f"[red]not as expected:[/red] {row.step.name}: expected {row.step.expect}")
    report = await asyncio.to_thread(_verify, server.address)
    result = "[green]ok[/green]" if report.ok else f"[red]{len(report.problems)} problems[/red]"
    calls = sum(isinstance(row.step, Call) for row in rows)
    console.print(f"\n{calls} tool calls decided. Audit trail: {result}, {report.records} records verified.")
    return report.ok and not wrong


def _verify(address: str) -> sdk.VerifyReport:
    with sdk.AuditClient(address) as audit:
        return audit.verify()


def _invite(console: Console, script: Script, server: RunningServer) -> None:
    """Print three commands to try next."""
    placet = _command()
    at = f" --address {server.address}"
    tenant = script.identity.tenant
    refund = (
        "authorize --tool stripe.refund --amount '120.00 USD' "
        '--params \'{"charge": "ch_42", "amount": 120, "currency": "USD"}\' '
        f"--agent me --user u_4812 --role support_refunds --tenant {tenant}"
    )
    console.print("\nPlacet runs until you press Ctrl-C. In another terminal, try:")
    for command in (refund + at, f"audit decisions --tenant {tenant} --effect deny" + at, "audit verify"):
        console.print(f"  {placet} {command}", highlight=False, soft_wrap=True)


def _command() -> str:
    """Return the shortest command that starts this program."""
    program = Path(sys.argv[0])
    try:
        return shlex.quote(os.fspath(program.resolve().relative_to(Path.cwd())))
    except ValueError:
        return program.name
