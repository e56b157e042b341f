"""Read the settings: flag > ``PLACET_*`` variable > ``placet.toml`` > default.

`load_settings` reads all sources and reports where each value came from. Unknown names are errors. A renamed setting
is still read under its old name, with a message on stderr.
"""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource

from placet.kernel.diagnostics import closest
from placet.kernel.errors import ConfigurationError
from placet.server.settings.model import ENV_PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

CONFIG_FILE: Final = "placet.toml"
"""Read from the working directory when no other file is named."""
CLIENT_VARIABLES: Final = frozenset(
    {"PLACET_ADDRESS", "PLACET_TOKEN", "PLACET_TLS_CA_FILE", "PLACET_CLIENT_CERT_FILE", "PLACET_CLIENT_KEY_FILE"}
)
"""Variables that only the client commands read. They are not settings of the server."""
RENAMED: Final = {
    "opa_expected_revision": "opa_required_revision",
    "replica": "replica_id",
    "webhook_allow_private": "webhook_allow_private_networks",
}
"""Deprecated name -> name of the setting."""
FOUND_FILE_SETTINGS: Final = frozenset(
    {
        "checkpoint_interval_seconds",
        "listen",
        "log_format",
        "log_level",
        "metrics_listen",
        "queue_depth_max",
        "reflection",
        "replica_id",
        "workers",
    }
)
"""The only settings read from a `placet.toml` that was found in the working directory but not named.

Every other setting decides what is allowed, executed or stored, or where data goes. Placet reads it only from a flag, a
variable or a file that the command names.
"""


_MESSAGES: Final = {"int_parsing": "must be a whole number", "int_from_float": "must be a whole number"}
"""pydantic's type of an error -> a text for people, where pydantic's own is hard to read."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One source of settings: the values it gives, by field name, and what a user calls each of them."""

    prefix: str  # "--" for flags, PLACET_ for variables, else the path of the file
    values: Mapping[str, Any]
    labels: Mapping[str, str]  # field name -> the name as it was written, when that is a deprecated one

    def label(self, name: str) -> str:
        """Where the field's value comes from: ``--data-dir``, ``PLACET_DATA_DIR`` or the file."""
        written = self.labels.get(name, name)
        if self.prefix == "--":
            return "--" + written.replace("_", "-")
        return self.prefix + written.upper() if self.prefix == ENV_PREFIX else self.prefix


def load_settings(flags: Mapping[str, Any], config_file: Path | None = None) -> tuple[Settings, dict[str, str]]:
    """Read the settings from all sources. Returns them, and the source of each value by field name.

    `flags` holds values by field name; None means that the flag was not given. `config_file` must exist when it is
    named. Raises ConfigurationError with one line for each problem: the field, its source, and the remedy.
    """
    path, from_file = _read_file(config_file)
    given_flags = {name: value for name, value in flags.items() if value is not None}
    problems = [*_unknown_variables(), *_unknown_keys(str(path), from_file)]
    sources = []
    for prefix, values in ((str(path), from_file), (ENV_PREFIX, _variables()), ("--", given_flags)):
        source, conflicts = _with_current_names(prefix, values)
        sources.append(source)
        problems += conflicts
    if config_file is None:
        problems += _not_from_a_found_file(path, sources[0])
    if problems:
        raise ConfigurationError("\n".join(problems))
    values = {name: value for source in sources for name, value in source.values.items()}
    labels = dict.fromkeys(Settings.model_fields, "default")
    for source in sources:
        labels.update({name: source.label(name) for name in source.values})
        _warn_of_old_names(source)
    try:
        return Settings(**values), labels
    except ValidationError as error:
        raise ConfigurationError("\n".join(_problem(each, labels) for each in error.errors())) from None


def _read_file(named: Path | None) -> tuple[Path, dict[str, Any]]:
    path = named or Path(CONFIG_FILE)
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named is None:
            return path, {}
        raise ConfigurationError(
            f"{path}: no such file; name an existing file with --config, or leave the flag out"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f'{path}: is not TOML: {error}; write lines like: listen = "127.0.0.1:7070"') from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}; make it a readable file") from None


def _variables() -> dict[str, Any]:
    deprecated = {name: os.environ[ENV_PREFIX + name.upper()] for name in RENAMED if _is_set(name)}
    return {**EnvSettingsSource(Settings)(), **deprecated}


def _is_set(name: str) -> bool:
    return ENV_PREFIX + name.upper() in os.environ


def _with_current_names(prefix: str, values: Mapping[str, Any]) -> tuple[_Source, list[str]]:
    """Replace deprecated names. A problem when a source has both the old and the new name of a setting."""
    labels = {RENAMED[name]: name for name in values if name in RENAMED}
    source = _Source(prefix, {RENAMED.get(name, name): value for name, value in values.items()}, labels)
    both = [name for name in labels if name in values]
    return source, [f"{source.label(name)}: deprecated name of {name}, which is also set; remove it" for name in both]


def _warn_of_old_names(source: _Source) -> None:
    for name, old in source.labels.items():
        line = f"{source.label(name)}: {old} is now {name}; the old name will go in a later version"
        sys.stderr.write(f"placet: {line}\n")  # logging is not set up yet


def _unknown_variables() -> Iterator[str]:
    known = {ENV_PREFIX + name.upper() for name in (*Settings.model_fields, *RENAMED)} | CLIENT_VARIABLES
    for name in sorted(os.environ):
        if name.upper().startswith(ENV_PREFIX) and name not in known:
            hint = _did_you_mean(name[len(ENV_PREFIX) :].lower(), Settings.model_fields, ENV_PREFIX)
            yield f"{name}: no setting has this name; {hint}unset it"


def _unknown_keys(path: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name in values:
        if name not in Settings.model_fields and name not in RENAMED:
            hint = _did_you_mean(name, Settings.model_fields)
            yield f"{path}: {name}: no setting has this name; {hint}remove it"


def _not_from_a_found_file(path: Path, source: _Source) -> Iterator[str]:
    for name in sorted((source.values.keys() & Settings.model_fields.keys()) - FOUND_FILE_SETTINGS):
        flag, variable = f"--{name.replace('_', '-')}", ENV_PREFIX + name.upper()
        yield (
            f"{path}: {name}: cannot be set by a file that was only found in the working directory; name the file with "
            f"--config {path}, or use {flag} or {variable}"
        )


def _did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    near = closest(name, known)
    meant = prefix + near.upper() if prefix else near
    return f"did you mean {meant}? else " if near else ""


def _problem(error: ErrorDetails, sources: Mapping[str, str]) -> str:
    name = str(error["loc"][0])
    field = Settings.model_fields[name]
    shown = "" if field.annotation is SecretStr else f" {str(error.get('input'))!r}"
    if error["type"] == "value_error":  # raised by a validator of Settings: it contains the remedy
        return f"{name} ({sources[name]}):{shown} {error['ctx']['error']}"
    what = _MESSAGES.get(error["type"]) or error["msg"].removeprefix("Input ")
    return f"{name} ({sources[name]}):{shown} {what}; write e.g. {(field.examples or [''])[0]}"
