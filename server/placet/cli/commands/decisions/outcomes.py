"""`placet outcomes`: tell what an allowed call did."""

from __future__ import annotations

from typing import Annotated

import typer

from placet import sdk
from placet.cli.options import Address, OutputOption, Tenant, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering.output import Output, print_fields, print_json
from placet.kernel.limits import SAFE_INTEGER_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

app = typer.Typer(no_args_is_help=True, help="Tell what an allowed call did.")
_COUNT_MAX = SAFE_INTEGER_MAX


@app.callback()
def _group() -> None:
    """A group, so that `report` is typed although there is no other yet."""


@app.command()
def report(  # noqa: PLR0913 - one option for each thing that a report may say
    decision_id: Annotated[str, typer.Argument(help="The decision that allowed it.", metavar="DECISION_ID")],
    *,
    tenant: Tenant,
    status: Annotated[sdk.OutcomeStatus, typer.Option(help="What became of the call.")],
    latency_ms: Annotated[int, typer.Option(min=0, max=_COUNT_MAX, help="How long it took, in milliseconds.")] = 0,
    tokens: Annotated[
        int | None,
        typer.Option(min=0, max=_COUNT_MAX, help="Tokens used beyond those of the request.", show_default=False),
    ] = None,
    cost_micros: Annotated[
        int | None,
        typer.Option(min=0, max=_COUNT_MAX, help="What it cost. Default: what was estimated.", show_default=False),
    ] = None,
    amount_minor_units: Annotated[
        int | None,
        typer.Option(min=0, max=_COUNT_MAX, help="What it moved. Default: the action's amount.", show_default=False),
    ] = None,
    error_class: Annotated[str, typer.Option(help="Kind of error, e.g. TimeoutError.", show_default=False)] = "",
    result_digest: Annotated[str, typer.Option(help="SHA-256 of the result, in hex.", show_default=False)] = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Report what an allowed call did: settles what the decision holds of budgets. The same again changes nothing.

    Example: placet outcomes report dec_0123 --tenant acme --status not_executed
    """
    with sdk.Client(address, timeout=timeout) as client:
        receipt = client.report_outcome(
            decision_id,
            status,
            tenant=tenant,
            latency_ms=latency_ms,
            tokens=tokens,
            cost_micros=cost_micros,
            amount_minor_units=amount_minor_units,
            error_class=error_class,
            result_digest=result_digest,
        )
    if output is Output.JSON:
        budgets = {"overspent": list(receipt.exceeded_budget_ids), "held": list(receipt.held)}
        print_json({"repeated": receipt.duplicate, "late": receipt.late, **budgets})
        return
    said = {
        "repeated": "yes" if receipt.duplicate else "no",
        "late": "yes" if receipt.late else "no",
        "overspent": ", ".join(receipt.exceeded_budget_ids),
        "held": ", ".join(receipt.held),
    }
    print_fields(said.items())
