"""`placet audit`: read and verify the audit trail."""

from __future__ import annotations

import typer

from placet.cli.commands import audit_events, audit_local, audit_remote
from placet.cli.groups import aliases

app = typer.Typer(
    no_args_is_help=True,
    help="Read and verify the audit trail.",
    cls=aliases(query="decisions", log="events", key="public-key"),
)
app.command("tail")(audit_remote.tail)
app.command("decisions")(audit_remote.decisions)
app.command("show")(audit_remote.show)
app.command("events")(audit_events.events)
app.command("verify")(audit_local.verify)
app.command("public-key")(audit_local.public_key)
app.command("checkpoint")(audit_local.checkpoint)
