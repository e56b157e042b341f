"""`placet policy`: check, test and bundle policy; show and confirm the served policy."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from placet.cli.commands.policy.costs import COLUMNS, rule_costs
from placet.cli.commands.policy.folder_options import OpaPath, RegoDir, chosen_policy
from placet.cli.commands.policy.push import push_command
from placet.cli.commands.policy.releases import bundle_command
from placet.cli.commands.policy.served import confirm_command, status_command
from placet.cli.commands.policy.show import show_command
from placet.cli.options import ConfigFile, OutputOption  # noqa: TC001 # typer reads them when the program runs
from placet.cli.rendering import exit_codes
from placet.cli.rendering.output import Output, print_error, print_json, print_table
from placet.policy.checks import check as checking
from placet.policy.checks.catalogue import catalogue as list_rules
from placet.policy.toolchain.binary import find_regal
from placet.policy.toolchain.policy_tests import COVERAGE_PERCENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from placet.cli.commands.policy.costs import RuleCost
    from placet.kernel.errors import Diagnostic
    from placet.policy.checks.catalogue import Entry

app = typer.Typer(
    no_args_is_help=True,
    help="Check, test and bundle policy; show and confirm the served policy.",
)


class CatalogueOutput(StrEnum):
    """The format of the catalogue."""

    TABLE = "table"
    JSON = "json"
    MD = "md"


RegalPath = Annotated[
    Path | None,
    typer.Option("--regal", help="The regal program. Default: the installed one.", metavar="FILE", show_default=False),
]
CoverageMin = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=100.0,
        help="Percentage of the lines of each module that the tests must cover.",
        metavar="PERCENT",
    ),
]


@app.command("check")
def check_command(  # noqa: PLR0913 - one option for each setting
    *,
    rego_dir: RegoDir = None,
    opa: OpaPath = None,
    config: ConfigFile = None,
    regal: RegalPath = None,
    skip_lint: Annotated[bool, typer.Option("--skip-lint", help="Do not run regal lint.")] = False,
    coverage_min: CoverageMin = COVERAGE_PERCENT,
    bench: Annotated[
        bool, typer.Option("--bench", help="Also measure what each rule pack costs with the largest params.")
    ] = False,
    max_us: Annotated[
        int | None,
        typer.Option(min=1, help="With --bench: microseconds that no rule pack may exceed.", metavar="MICROSECONDS"),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check policy.

    The checks: files, tenants, compilation, rules, values, approvals, tests, format, lint.

    Exit code 1 when a check fails, or a rule pack takes longer than --max-us.

    Example: placet policy check --rego-dir ./rego
    """
    if max_us is not None and not bench:
        raise typer.BadParameter("needs --bench, which measures the rule packs", param_hint="--max-us")
    folder, engine = chosen_policy(rego_dir, opa, config)
    linter = None if skip_lint else find_regal(regal or "")
    steps = checking.check(folder, engine, linter, skip_lint=skip_lint, coverage_percent_min=coverage_min)
    ok = not any(step.problems for step in steps)
    costs = rule_costs(folder, engine) if bench and ok else []
    ok = ok and not any(max_us is not None and cost.exceeds(max_us) for cost in costs)
    if output is Output.JSON:
        document = {"ok": ok, "rego_dir": str(folder), "steps": [asdict(step) for step in steps]}
        print_json(document | ({"costs": [cost.document() for cost in costs]} if bench else {}))
    else:
        rows = [(step.name, _state(step), step.skipped or step.detail) for step in steps]
        print_table(("step", "result", ""), rows)
        _print_problems(problem for step in steps for problem in step.problems)
        if bench and not costs:
            typer.echo("costs: not measured, because a check failed", err=True)
        if costs:
            typer.echo()
            print_table(COLUMNS, [cost.row() for cost in costs])
            _print_too_slow(costs, max_us)
    raise typer.Exit(exit_codes.OK if ok else exit_codes.CHECK_FAILED)


@app.command("test")
def run_tests_command(
    *,
    rego_dir: RegoDir = None,
    opa: OpaPath = None,
    config: ConfigFile = None,
    coverage_min: CoverageMin = COVERAGE_PERCENT,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run the policy tests and show the lines that they do not cover.

    Exit code 1 when a test fails or the coverage is too low.

    Example: placet policy test --rego-dir ./rego
    """
    folder, engine = chosen_policy(rego_dir, opa, config)
    report = checking.run_policy_tests(folder, engine, coverage_percent_min=coverage_min)
    if output is Output.JSON:
        print_json({"ok": not report.problems, "percent": round(report.percent, 2), **asdict(report)})
    else:
        rows = [
            (module.file, f"{module.percent:.1f} %", ", ".join(map(str, module.missed))) for module in report.coverage
        ]
        if rows:
            print_table(("module", "covered", "lines not covered"), rows)
        typer.echo(report.summary)
        _print_problems(report.problems)
    raise typer.Exit(exit_codes.CHECK_FAILED if report.problems else exit_codes.OK)


@app.command("catalogue")
def catalogue_command(
    *,
    rego_dir: RegoDir = None,
    opa: OpaPath = None,
    config: ConfigFile = None,
    output: Annotated[
        CatalogueOutput, typer.Option("--output", "-o", help="A table for people, JSON for programs, or Markdown.")
    ] = CatalogueOutput.TABLE,
) -> None:
    """List every rule_id with its title, effect, pack and source.

    Example: placet policy catalogue --output md
    """
    folder, engine = chosen_policy(rego_dir, opa, config)
    entries = list_rules(folder, engine)
    if output is CatalogueOutput.JSON:
        print_json({"rules": [asdict(entry) for entry in entries]})
    elif output is CatalogueOutput.MD:
        typer.echo("\n".join(_markdown(entries)))
    else:
        rows = [(entry.rule_id, entry.effect, entry.pack, entry.title, entry.where) for entry in entries]
        print_table(("rule_id", "effect", "pack", "title", "where"), rows)


def _print_too_slow(costs: Iterable[RuleCost], max_us: int | None) -> None:
    for cost in costs:
        if max_us is not None and cost.exceeds(max_us):
            typer.echo(
                f"{cost.cost.pack}: takes {cost.cost.microseconds:,.0f} us, more than the {max_us:,} us of --max-us; "
                f"limit the params by a params_schema, or make {cost.rule or 'its rules'} cheaper",
                err=True,
            )


def _state(step: checking.Step) -> str:
    if step.skipped:
        return "skipped"
    return f"{len(step.problems)} wrong" if step.problems else "ok"


def _print_problems(problems: Iterable[Diagnostic]) -> None:
    for problem in problems:
        print_error(str(problem))


def _markdown(entries: Iterable[Entry]) -> Iterator[str]:
    yield "| rule_id | effect | pack | title | where |"
    yield "| --- | --- | --- | --- | --- |"
    for entry in entries:
        title = entry.title.replace("|", "\\|")
        yield f"| `{entry.rule_id}` | {entry.effect} | {entry.pack} | {title} | {entry.where} |"


app.command("bundle")(bundle_command)
app.command("push")(push_command)
app.command("show")(show_command)
app.command("status")(status_command)
app.command("confirm")(confirm_command)
