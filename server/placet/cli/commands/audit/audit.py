"""`placet audit`: read and verify the audit trail."""

from __future__ import annotations

import typer

from placet.cli.commands.audit import decisions, events, verification
from placet.cli.groups import aliases

app = typer.Typer(
    no_args_is_help=True,
    help="Read and verify the audit trail.",
    cls=aliases(query="decisions", log="events", key="public-key"),
)
app.command("tail")(decisions.tail)
app.command("decisions")(decisions.decisions)
app.command("show")(decisions.show)
app.command("events")(events.events)
app.command("verify")(verification.verify)
app.command("public-key")(verification.public_key)
app.command("checkpoint")(verification.checkpoint)
