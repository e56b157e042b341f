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
app.command("decisions")(decisions.decisions_command)
app.command("tail")(decisions.tail_command)
app.command("show")(decisions.show_command)
app.command("events")(events.events_command)
app.command("verify")(verification.verify_command)
app.command("public-key")(verification.public_key_command)
app.command("checkpoint")(verification.checkpoint_command)
