"""`placet outcomes`: report what allowed calls did."""

from __future__ import annotations

from typing import Annotated

import typer

from placet import sdk
from placet.cli.options import Address, OutputOption, Tenant, Timeout  # noqa: TC001 - typer reads them
from placet.cli.rendering.output import Output, print_fields, print_json
from placet.kernel.limits import SAFE_INTEGER_MAX
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

app = typer.Typer(no_args_is_help=True, help="Report what allowed calls did.")
_COUNT_MAX = SAFE_INTEGER_MAX


@app.callback()
def _group() -> None:
    """Keep `report` a subcommand: typer would merge the only one into the group."""


DecisionId = Annotated[str, typer.Argument(help="The decision that allowed the call.", metavar="DECISION_ID")]
Status = Annotated[sdk.OutcomeStatus, typer.Option(help="Result of the call.")]
LatencyMs = Annotated[int, typer.Option(min=0, max=_COUNT_MAX, help="Duration of the call in milliseconds.")]
Tokens = Annotated[
    int | None,
    typer.Option(min=0, max=_COUNT_MAX, help="Tokens used in addition to those of the request.", show_default=False),
]
CostMicros = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=_COUNT_MAX,
        help="Cost in micros of the currency. Default: the estimate of the request.",
        show_default=False,
    ),
]
AmountMinorUnits = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=_COUNT_MAX,
        help="Money moved, in minor units. Default: the amount of the action.",
        show_default=False,
    ),
]
ErrorClass = Annotated[str, typer.Option(help="Class of the error, e.g. TimeoutError.", show_default=False)]
ResultDigest = Annotated[str, typer.Option(help="SHA-256 of the result, in hex.", show_default=False)]

Permit = Annotated[
    str,
    typer.Option(help="Permit of the decision, if you hold it.", envvar="PLACET_PERMIT", show_default=False),
]


@app.command("report")
def report_command(  # noqa: PLR0913 - one option for each field of a report
    decision_id: DecisionId,
    *,
    tenant: Tenant,
    status: Status,
    latency_ms: LatencyMs = 0,
    tokens: Tokens = None,
    cost_micros: CostMicros = None,
    amount_minor_units: AmountMinorUnits = None,
    error_class: ErrorClass = "",
    result_digest: ResultDigest = "",
    permit: Permit = "",
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Report what an allowed call did, and settle its budget reservations.

    A repeat of the same report changes nothing.

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
            permit=permit,
        )
    if output is Output.JSON:
        budgets = {
            "overspent": list(receipt.exceeded_budget_ids),
            "held": list(receipt.held),
            "kept": list(receipt.kept_budget_ids),
        }
        print_json({"repeated": receipt.duplicate, "late": receipt.late, **budgets})
        return
    fields = {
        "repeated": "yes" if receipt.duplicate else "no",
        "late": "yes" if receipt.late else "no",
        "overspent": ", ".join(receipt.exceeded_budget_ids),
        "held": ", ".join(receipt.held),
        "kept": ", ".join(receipt.kept_budget_ids),
    }
    print_fields(fields.items())
