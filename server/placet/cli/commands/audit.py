"""`placet audit`: read and verify the audit trail."""

from __future__ import annotations

import typer

from placet.cli.commands import audit_local, audit_log, audit_remote

app = typer.Typer(no_args_is_help=True, help="Read and verify the audit trail.")
app.command("tail")(audit_remote.tail)
app.command("query")(audit_remote.query)
app.command("show")(audit_remote.show)
app.command("log")(audit_log.log)
app.command("verify")(audit_local.verify)
app.command("key")(audit_local.key)
app.command("checkpoint")(audit_local.checkpoint)
