"""`placet policy show`: the settings of one tool, as policy reads them."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 # typer reads it when the program runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placet.cli.options import ConfigFile, OutputOption  # noqa: TC001 # typer reads them when the program runs
from placet.cli.rendering.output import Output, print_json, print_table
from placet.kernel.diagnostics import did_you_mean
from placet.kernel.errors import ConfigurationError
from placet.kernel.exact_json import exact_json
from placet.policy.bundles.compiled import pack_settings
from placet.policy.files.tenant_files import pack_defaults, parse_tenants
from placet.policy.files.tree import read_tree
from placet.server.settings.sources import load_settings
from placet.tenants.tool_settings import tool_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


def show_command(
    *,
    tenant: Annotated[str, typer.Option(help="The tenant, the name of its file in config.", metavar="TENANT")],
    tool: Annotated[str, typer.Option(help="A tool that the tenant lists.", metavar="TOOL")],
    rego_dir: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the policies and tenant files. Default: the setting rego_dir.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the settings of a tool as policy reads them.

    These are `lib.tool`, compiled from the tenant's file, and the settings of each pack for the tenant.

    Example: placet policy show --tenant acme --tool stripe.refund
    """
    settings, _ = load_settings({"rego_dir": rego_dir}, config)
    settings.require_rego_dir()
    document = compiled_form(settings.rego_dir, tenant, tool)
    if output is Output.JSON:
        print_json(json.loads(exact_json(document)))
        return
    print_table(("setting", "value"), list(_rows(document)))


def compiled_form(rego_dir: Path, tenant: str, tool: str) -> dict[str, Any]:
    """Return the settings of a tool and of the packs for a tenant.

    Raises PolicyInvalidError for an invalid policy folder, and ConfigurationError for an unknown tenant or tool.
    """
    tree = read_tree(rego_dir)
    policies = parse_tenants(tree)
    if tenant not in policies:
        raise ConfigurationError(_unknown(f"{rego_dir / 'config'}: no tenant {tenant!r}", tenant, policies))
    tools = tool_settings(policies[tenant])
    if tool not in tools:
        where = f"{rego_dir / 'config' / tenant}.yaml: {tool!r} is in neither allowed_tools nor write_tools"
        raise ConfigurationError(_unknown(f"{where}, so every call of it is denied", tool, tools))
    own = pack_settings(tree, policies[tenant].packs)
    packs = {pack: own.get(pack, {}) for pack in pack_defaults(tree)}
    return {"tenant": tenant, "tool": tool, "settings": tools[tool], "packs": packs}


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    return f"{what}; {did_you_mean(name, sorted(known))}"


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in document["settings"].items():
        yield f"lib.tool.{key}", _text(value)
    for pack, settings in document["packs"].items():
        for key, value in settings.items():
            yield f'lib.pack_config("{pack}").{key}', _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else exact_json(value).decode()
