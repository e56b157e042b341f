"""Flags of a command, generated from the fields of the settings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin

import typer
from pydantic import SecretStr

from placet.server.settings.model import Settings
from placet.server.settings.sources import RENAMED

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

PANEL: Final = "Settings"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for every setting. The command gets them as `flags` by field name, None for an unused flag."""
    parameters = [parameter for parameter in _parameters(command) if parameter.name != "flags"]

    def with_flags(**values: Any) -> None:  # noqa: ANN401 - values that typer parsed
        flags = {name: values.pop(name) for name in (*Settings.model_fields, *RENAMED)}
        command(flags=flags, **values)

    settings = [_parameter(name, field) for name, field in Settings.model_fields.items()]
    settings += [_parameter(old, Settings.model_fields[name], hidden=True) for old, name in RENAMED.items()]
    with_flags.__doc__ = command.__doc__
    with_flags.__signature__ = inspect.Signature([*settings, *parameters])  # type: ignore[attr-defined] # typer reads it
    with_flags.__annotations__ = {}
    return with_flags


def _parameters(command: Callable[..., None]) -> list[inspect.Parameter]:
    return list(inspect.signature(command, eval_str=True).parameters.values())


def _parameter(name: str, field: FieldInfo, *, hidden: bool = False) -> inspect.Parameter:
    """Return the flag of a setting. Its value stays a text: `Settings` validates values of every source."""
    flag = "--" + name.replace("_", "-")
    kind: Any = str | None
    if field.annotation is bool:
        kind = bool | None
        flag = flag if field.default is False else f"{flag}/--no-{flag[2:]}"
    option = typer.Option(
        flag,
        help=f"{field.description}{_choices(field)}{_default(field)}",
        metavar=None if field.annotation is bool else _metavar(name, field),
        rich_help_panel=PANEL,
        show_default=False,
        hidden=hidden,
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _default(field: FieldInfo) -> str:
    plain = not field.default_factory and str(field.default) and field.default is not False
    return f" Default: {field.default}." if plain else ""


def _choices(field: FieldInfo) -> str:
    return f" One of {', '.join(get_args(field.annotation))}." if get_origin(field.annotation) is Literal else ""


def _metavar(name: str, field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return min(name.rpartition("_")[2].upper(), "CHOICE", key=len)  # a wide column would cut off other flags
    if field.annotation is int:
        return "N"
    return "TEXT" if field.annotation in {str, SecretStr} else "PATH"
