"""`placet demo`: a support agent's day, decided by real OPA and audited, as a table."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Mapping  # noqa: TC003 - read when the signature is
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from placet import sdk
from placet.app import Running
from placet.app import serve as serve_until_stopped
from placet.cli.options import ConfigFile  # noqa: TC001 - typer reads it
from placet.cli.script import REFUSED, Script, Step, load_script
from placet.cli.settings_flags import with_settings
from placet.config import Settings
from placet.sdk import failures

app = typer.Typer()

DEFAULT_SCRIPT: Final = Path("deploy/demo/support-day.yaml")
_STYLES: Final = {"allow": "green", "deny": "red", "require_approval": "yellow", REFUSED: "magenta"}
_PLAIN_WIDTH: Final = 200
"""Columns where there is no terminal."""
_REASONS_WIDTH_MIN: Final = 120
"""Columns of a terminal from which on the reasons are shown."""
_OTHERS_WIDTH: Final = 66
"""Columns that effect, rule_id, ms and the lines between them take."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one step was told."""

    step: Step
    effect: str
    rule_id: str
    reason: str
    latency_ms: float

    @property
    def as_expected(self) -> bool:
        """Whether it is what the script says."""
        return (self.effect, self.rule_id) == self.step.expected


@app.command("demo")
@with_settings
def demo(
    *,
    flags: Mapping[str, Any],
    config: ConfigFile = None,
    script: Annotated[
        Path, typer.Option("--script", help="The tool calls to replay, as YAML.", show_default=True)
    ] = DEFAULT_SCRIPT,
    exit_: Annotated[bool, typer.Option("--exit", help="Exit when all is replayed, instead of staying up.")] = False,
) -> None:
    """Start a server, replay a script of tool calls as a table, verify the trail, stay up.

    Takes all settings of `placet serve`; logs warnings alone unless told otherwise. Exits with 1 when an answer was not
    the one that the script expects, or the trail does not verify.

    Example: placet demo --exit
    """
    settings, _ = Settings.load({**flags, "log_level": flags.get("log_level") or "warning"}, config)
    raise typer.Exit(run_demo(settings, script, stay=not exit_))


def run_demo(settings: Settings, script_file: Path, *, stay: bool) -> int:
    """Start a server, replay the script, verify the trail; stay up until a signal if wanted.

    0 when all was as the script expects and the trail verifies, else 1. SetupError when the server cannot start.
    """
    script = load_script(script_file)
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    replayed: list[bool] = []

    async def replay(server: Running) -> bool:
        replayed.append(await _show(console, script, server))
        if stay:
            _invite(console, script, server)
        return stay

    code = uvloop.run(serve_until_stopped(settings, replay))
    return code or (0 if all(replayed) else 1)


async def replay_script(script: Script, address: str) -> list[Row]:
    """Ask about each step in turn."""
    rows: list[Row] = []
    async with sdk.AsyncClient(address) as client:
        for step, request in script.requests():
            started = time.perf_counter()
            [decision] = [await _ask(client, request)]
            rows.append(_row(step, decision, (time.perf_counter() - started) * 1_000))
    return rows


async def _ask(client: sdk.AsyncClient, request: sdk.Request) -> sdk.Decision:
    return await client.authorize(
        request.action,
        request.identity,
        run=request.run,
        model=request.model,
        evidence=request.evidence,
        idempotency_key=request.idempotency_key,
        approval_id=request.approval_id,
    )


def _row(step: Step, decision: sdk.Decision, latency_ms: float) -> Row:
    failure = decision.failure
    if failure is not None and failure.rule_id == failures.INVALID_ARGUMENT and failure.violations:
        first = failure.violations[0]
        return Row(step, REFUSED, first.field, first.description, latency_ms)
    return Row(step, decision.effect.value, decision.rule_id, decision.reason, latency_ms)


async def _show(console: Console, script: Script, server: Running) -> bool:
    status = server.policies.status()
    console.print(f"[bold]{script.description}[/bold]")
    console.print(f"Placet serves {server.address}; OPA {status.engine_version}, policy {status.revision}\n")
    rows = await replay_script(script, server.address)
    console.print(_table(rows, console.width))
    wrong = [row for row in rows if not row.as_expected]
    for row in wrong:
        console.print(f"[red]not as expected:[/red] {row.step.name}: expected {row.step.expect}")
    report = await asyncio.to_thread(_verify, server.address)
    say = "[green]ok[/green]" if report.ok else f"[red]{len(report.problems)} problems[/red]"
    console.print(f"\n{len(rows)} tool calls asked about. Audit trail: {say}, {report.records} records verified.")
    return report.ok and not wrong


def _table(rows: list[Row], width: int) -> Table:
    """One line a call. A narrow terminal goes without the reasons: the rule_id is what one looks for."""
    table = Table()
    reasons = width >= _REASONS_WIDTH_MIN
    table.add_column("action", no_wrap=True, overflow="ellipsis", max_width=None if reasons else width - _OTHERS_WIDTH)
    for name in ("effect", "rule_id", *(["reason"] if reasons else [])):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    table.add_column("ms", justify="right", no_wrap=True)
    for row in rows:
        effect = f"[{_STYLES[row.effect]}]{row.effect}[/]"
        reason = [row.reason] if reasons else []
        table.add_row(row.step.name, effect, row.rule_id, *reason, f"{row.latency_ms:.1f}")
    return table


def _verify(address: str) -> sdk.VerifyReport:
    with sdk.AuditClient(address) as audit:
        return audit.verify()


def _invite(console: Console, script: Script, server: Running) -> None:
    """Three commands to try next."""
    placet = _command()
    at = f" --address {server.address}"
    tenant = script.identity.tenant
    refund = (
        "authorize --tool stripe.refund --params '{\"charge\": \"ch_42\"}' --amount '120.00 USD' "
        f"--agent me --user u_4812 --role support_refunds --tenant {tenant}"
    )
    console.print("\nPlacet stays up until you press Ctrl-C. In another terminal, try:")
    for command in (refund + at, f"audit query --tenant {tenant} --effect deny" + at, "audit verify"):
        console.print(f"  {placet} {command}", highlight=False, soft_wrap=True)


def _command() -> str:
    """How this program was called, as short as it works."""
    program = Path(sys.argv[0])
    try:
        return shlex.quote(os.fspath(program.resolve().relative_to(Path.cwd())))
    except ValueError:
        return program.name
