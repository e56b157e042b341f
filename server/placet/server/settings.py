"""Settings of the server: flag > ``PLACET_*`` > ``placet.toml`` > default. Unknown ones are refused.

`Settings.load` reads all sources and says where each value came from. `Settings(...)` reads none of them.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from placet.approvals.page import ApprovalPage
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import (
    CHECKPOINT_INTERVAL_SECONDS,
    IDEMPOTENCY_RETENTION_HOURS,
    OPA_TIMEOUT_MS,
    OUTCOME_EXCESS_FACTOR,
    PERMIT_TTL_SECONDS,
    QUEUE_DEPTH_MAX,
    RESERVATION_TTL_SECONDS,
    WEBHOOK_TIMEOUT_MS,
)
from placet.matching.addresses import check_opa_address, is_loopback, split_address
from placet.webhooks.signing import read_secrets
from placet.webhooks.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

    from placet.storage.database import Database

ENV_PREFIX: Final = "PLACET_"
CONFIG_FILE: Final = "placet.toml"
"""Read from the working directory when no other file is named."""
CLIENT_VARIABLES: Final = frozenset({"PLACET_ADDRESS"})
"""Variables that the client commands read; no setting of the server."""
_OF_THE_DATA_DIR: Final = re.compile(r"`(placet (?:audit|db|doctor|keys|serve)\b(?![^`]* --data-dir)[^`]*)`")
"""Commands, in a text for people, that read the data directory."""
_REPLICA: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns ValueError into its own
    return value


_Count = Annotated[int, BeforeValidator(_no_boolean)]


FOUND_FILE_SETTINGS: Final = frozenset(
    {
        "checkpoint_interval_seconds",
        "listen",
        "log_format",
        "log_level",
        "metrics_listen",
        "queue_depth_max",
        "reflection",
        "replica",
    }
)
"""All that is read from a `placet.toml` that was only found in the working folder. Every other setting decides what is
allowed, run or kept, or where it goes: it comes from a flag, a variable or a file that was named."""


def shipped_dir(name: str, beside: str, package: Path = Path(__file__).parents[1]) -> Path:
    """A folder inside the package; of a package that is used from its checkout, the one of that name in there."""
    inside, checkout = package / name, package.parent.parent / beside
    return checkout if not inside.is_dir() and package.parent.name == "server" and checkout.is_dir() else inside


class Settings(BaseSettings):
    """All settings of `placet serve`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    unsafe_no_auth: bool = Field(
        default=False,
        description="Allow listening beyond loopback although callers are not authenticated: whoever reaches the port "
        "may ask for decisions and read the audit trail.",
        examples=["true"],
    )
    listen: str = Field(
        default="127.0.0.1:7070",
        description="Address of the gRPC server, host:port. Port 0 takes a free one. Beyond loopback only with "
        "unsafe_no_auth.",
        examples=["127.0.0.1:7070"],
    )
    data_dir: Path = Field(
        default=Path(".placet"),
        description="Directory of the database, the signing keys and the bundle cache; made when absent.",
        examples=["/var/lib/placet"],
    )
    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="PostgreSQL database of the audit trail and all state, postgresql://user@host/name; for several "
        "replicas. Empty: SQLite, placet.db in data_dir.",
        examples=["postgresql://placet@db.internal/placet"],
    )
    rego_dir: Path = Field(
        default=Path("rego"),
        description="Directory of the policies and the tenants' files.",
        examples=["./rego"],
    )
    replica: str = Field(
        default="placet",
        description="Name of this replica: the writer of its audit chain. 1 to 64 characters of [A-Za-z0-9._-], a "
        "letter or digit first.",
        examples=["placet"],
    )
    opa_address: str = Field(
        default="",
        description="Address of an external OPA, http://host:port or unix:///path. Empty: Placet starts its own.",
        examples=["http://127.0.0.1:8181"],
    )
    opa_path: str = Field(
        default="",
        description="The opa program of a managed OPA. Empty: that of the installation, else on PATH. Not with "
        "opa_address.",
        examples=["/usr/local/bin/opa"],
    )
    opa_expected_revision: str = Field(
        default="",
        description="Policy revision that an external OPA must serve; answers of another are denied. Empty: any. Only "
        "with opa_address.",
        examples=["3f9a0c51"],
    )
    opa_timeout_ms: _Count = Field(
        default=OPA_TIMEOUT_MS,
        ge=1,
        le=60_000,
        description="How long one query to OPA may take, in milliseconds; then deny pdp.engine_timeout.",
        examples=["250"],
    )
    max_policy_age_seconds: _Count = Field(
        default=86_400,
        ge=0,
        description="A policy whose folder, or external OPA, could not be seen for longer than this denies everything "
        "with pdp.policy_stale, in seconds; a newer policy that was seen and refused does not. 0: no limit.",
        examples=["86400"],
    )
    clock_skew_max_seconds: _Count = Field(
        default=60,
        ge=0,
        description="A clock that is behind the newest record, or on PostgreSQL a machine's clock that differs from "
        "the database server's, by more than this denies everything with pdp.clock_skew, in seconds. 0: time is the "
        "machine's clock alone, also when it was set back.",
        examples=["60"],
    )
    confirm_policy_removals: bool = Field(
        default=True,
        description="Hold back a policy that lost restrictions, or the end of a file, against the one that is "
        "served, until somebody runs placet policy confirm. False: it decides at once. Not with opa_address.",
        examples=["true"],
    )
    queue_depth_max: _Count = Field(
        default=QUEUE_DEPTH_MAX,
        ge=1,
        le=1_000_000,
        description="Actions that may wait for a decision; more are refused at once with RESOURCE_EXHAUSTED.",
        examples=["1024"],
    )
    checkpoint_interval_seconds: _Count = Field(
        default=CHECKPOINT_INTERVAL_SECONDS,
        ge=1,
        le=86_400,
        description="How often the audit chain is signed when there is something new, in seconds.",
        examples=["60"],
    )
    reservation_ttl_seconds: _Count = Field(
        default=RESERVATION_TTL_SECONDS,
        ge=PERMIT_TTL_SECONDS,
        le=86_400,
        description="How long an allow holds its budgets when nobody reports an outcome, in seconds. Then each budget "
        "counts it or releases it, as its unreported says.",
        examples=["900"],
    )
    outcome_excess_factor: _Count = Field(
        default=OUTCOME_EXCESS_FACTOR,
        ge=0,
        le=1_000_000,
        description="How many times what was reserved an outcome counts at once; the rest is held until an operator "
        "accepts or drops it. 0: all of it counts at once.",
        examples=["10"],
    )
    idempotency_retention_hours: _Count = Field(
        default=IDEMPOTENCY_RETENTION_HOURS,
        ge=IDEMPOTENCY_RETENTION_HOURS,
        le=8_760,
        description="How long an idempotency key is kept, in hours; later the same key is a new request.",
        examples=["24"],
    )
    approval_url: str = Field(
        default="",
        description="URL of the page on which people approve, http or https, with {approval_id} and optionally "
        "{tenant}. Answers that require an approval name it. Empty: they name none.",
        examples=["https://approvals.example.com/{tenant}/{approval_id}"],
    )
    webhook_allow_private: bool = Field(
        default=False,
        description="Allow webhook_url to lead to a private or loopback address, and to one of those by http.",
        examples=["true"],
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret that webhooks are signed with: whsec_ and base64 of 24 to 64 bytes. Several with spaces "
        "between sign each; so receivers can change from one to the next.",
        examples=["whsec_cGxlYXNlIG1ha2Ugb25lIG9mIHlvdXIgb3du"],
    )
    webhook_url: str = Field(
        default="",
        description="URL that is told of approvals, https://host/path. Empty: nobody is. Only with webhook_secret.",
        examples=["https://hooks.example.com/placet"],
    )
    webhook_timeout_ms: _Count = Field(
        default=WEBHOOK_TIMEOUT_MS,
        ge=100,
        le=60_000,
        description="How long the receiver of a webhook may take to answer, in milliseconds; then it is tried again.",
        examples=["15000"],
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged.", examples=["info"]
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="Form of the log lines on stderr.", examples=["json"]
    )
    reflection: bool = Field(
        default=True, description="Answer gRPC server reflection, so that grpcurl and the like work.", examples=["true"]
    )
    metrics_listen: str = Field(
        default="",
        description="Address of the Prometheus metrics, host:port, under /metrics. Empty: none. Beyond loopback only "
        "with unsafe_no_auth.",
        examples=["127.0.0.1:9090"],
    )

    @property
    def database(self) -> Database:
        """Where the ledger is kept."""
        from placet.storage.database import choose_database  # noqa: PLC0415 - 0.2 s that most commands need not wait

        return choose_database(self.database_url.get_secret_value(), self.data_dir / "placet.db")

    def require_data_dir(self) -> None:
        """Raise ConfigurationError when something else than a directory stands where the data directory should be."""
        if self.data_dir.exists() and not self.data_dir.is_dir():
            raise ConfigurationError(f"{self.data_dir}: is a file, not a directory; name a directory with --data-dir")

    def require_rego_dir(self) -> None:
        """Raise ConfigurationError when there is no policy folder. No example is served in its place."""
        if not self.rego_dir.is_dir():
            example = shipped_dir("_rego", "rego")
            raise ConfigurationError(
                f"{self.rego_dir}: no such policy folder; name yours with --rego-dir, begin with a copy of the example "
                f"in {example}, or run `placet demo` to see that example decide"
            )

    @property
    def keys_dir(self) -> Path:
        """The signing keys."""
        return self.data_dir / "keys"

    def name_data_dir(self, text: str) -> str:
        """The text, in which each command is for this data directory. The default one needs no name."""
        if self.data_dir == type(self).model_fields["data_dir"].default:
            return text
        named = shlex.quote(str(self.data_dir))
        return _OF_THE_DATA_DIR.sub(lambda found: f"`{found[1]} --data-dir {named}`", text)

    @property
    def permit_keys_dir(self) -> Path:
        """The keys that sign permits."""
        return self.keys_dir / "permits"

    @property
    def bundles_dir(self) -> Path:
        """The cache of built bundles."""
        return self.data_dir / "bundles"

    @field_validator("listen", "metrics_listen")
    @classmethod
    def _bounded_to_loopback(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "metrics_listen":
            return value
        host = _host_of(value, cls.model_fields[str(info.field_name)].examples)
        if not is_loopback(host) and not info.data.get("unsafe_no_auth", False):
            raise ValueError(
                "is reachable from other machines, and callers are not authenticated yet; use a loopback address, or "
                "accept that with --unsafe-no-auth"
            )
        return value

    @field_validator("database_url")
    @classmethod
    def _of_postgres(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            _check_database_url(value.get_secret_value())
        return value

    @field_validator("replica")
    @classmethod
    def _named(cls, value: str) -> str:
        if not _REPLICA.match(value):
            raise ValueError("must be 1 to 64 characters of [A-Za-z0-9._-], a letter or digit first")
        return value

    @field_validator("opa_address")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if value:
            check_opa_address(value)
        return value

    @field_validator("opa_path", "opa_expected_revision")
    @classmethod
    def _read_by_its_mode(cls, value: str, info: ValidationInfo) -> str:
        if "opa_address" not in info.data:  # wrong itself, and reported
            return value
        external = bool(info.data["opa_address"])
        if value and info.field_name == "opa_path" and external:
            raise ValueError("is for a managed OPA, but opa_address names an external one; leave one of them out")
        if value and info.field_name == "opa_expected_revision" and not external:
            raise ValueError("is for an external OPA; set opa_address as well, or leave it out")
        return value

    @field_validator("approval_url")
    @classmethod
    def _template(cls, value: str) -> str:
        ApprovalPage.parse(value)
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _signing(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            read_secrets(value.get_secret_value())
        return value

    @field_validator("webhook_url")
    @classmethod
    def _signed(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.keys() >= {"webhook_allow_private", "webhook_secret"}:  # else wrong itself, and reported
            Target.parse(value, allow_private=info.data["webhook_allow_private"])
            if not info.data["webhook_secret"].get_secret_value():
                raise ValueError("needs webhook_secret as well: receivers must be able to tell who sends")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Construct from arguments alone; `load` reads the rest, so that it knows where each value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @classmethod
    def load(cls, flags: Mapping[str, Any], config_file: Path | None = None) -> tuple[Self, dict[str, str]]:
        """Read all sources; gives the settings, and for each field the source of its value.

        `flags` are values by field name; None means not given. `config_file` must exist when it is named. Raises
        ConfigurationError with one line for each problem: the field, where its value came from, and the remedy.
        """
        path, from_file = _read_file(config_file)
        layers = {
            str(path): from_file,
            ENV_PREFIX: EnvSettingsSource(cls)(),
            "--": {name: value for name, value in flags.items() if value is not None},
        }
        problems = [*_unknown_variables(cls), *_unknown_keys(cls, str(path), from_file)]
        if config_file is None:
            problems += _not_from_a_found_file(cls, path, from_file)
        if problems:
            raise ConfigurationError("\n".join(problems))
        values = {name: value for layer in layers.values() for name, value in layer.items()}
        sources = dict.fromkeys(cls.model_fields, "default")
        for origin, layer in layers.items():
            sources.update({name: _source(origin, name) for name in layer})
        try:
            return cls(**values), sources
        except ValidationError as error:
            raise ConfigurationError("\n".join(_problem(cls, each, sources) for each in error.errors())) from None

    def describe(self, sources: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """(name, value as text, source) of each setting, in order; secrets masked."""
        rows = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if name == "database_url" and text:
                text = self.database.name
            rows.append((name, text, sources.get(name, "default")))
        return rows


def _check_database_url(value: str) -> None:
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://, e.g. postgresql://placet@db.internal/placet")
    from placet.storage.connections.postgres import is_conninfo  # noqa: PLC0415 - the driver, where it is needed

    if not is_conninfo(value):
        raise ValueError("is no URL of PostgreSQL; write e.g. postgresql://placet@db.internal:5432/placet")


def _read_file(named: Path | None) -> tuple[Path, dict[str, Any]]:
    path = named or Path(CONFIG_FILE)
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named is None:
            return path, {}
        raise ConfigurationError(
            f"{path}: there is no such file; name an existing one with --config, or leave it out"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f'{path}: is not TOML: {error}; write lines like: listen = "127.0.0.1:7070"') from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}; make it a readable file") from None


def _host_of(address: str, examples: list[str] | None) -> str:
    """The host of an address to listen on. ValueError with an example when it is none."""
    try:
        return split_address(address)[0]
    except ValueError as error:
        raise ValueError(f"{error}; write e.g. {(examples or [''])[0]}") from error


def _unknown_variables(cls: type[Settings]) -> Iterable[str]:
    known = {ENV_PREFIX + name.upper() for name in cls.model_fields} | CLIENT_VARIABLES
    for name in sorted(os.environ):
        if name.upper().startswith(ENV_PREFIX) and name not in known:
            hint = _did_you_mean(name[len(ENV_PREFIX) :].lower(), cls.model_fields, ENV_PREFIX)
            yield f"{name}: no setting has this name; {hint}unset it"


def _unknown_keys(cls: type[Settings], path: str, values: Mapping[str, Any]) -> Iterable[str]:
    for name in values:
        if name not in cls.model_fields:
            hint = _did_you_mean(name, cls.model_fields)
            yield f"{path}: {name}: no setting has this name; {hint}remove it"


def _not_from_a_found_file(cls: type[Settings], path: Path, values: Mapping[str, Any]) -> Iterable[str]:
    for name in sorted((values.keys() & cls.model_fields.keys()) - FOUND_FILE_SETTINGS):
        flag, variable = f"--{name.replace('_', '-')}", ENV_PREFIX + name.upper()
        yield (
            f"{path}: {name}: is not taken from a file that was only found in the working folder; name the file with "
            f"--config {path}, or use {flag} or {variable}"
        )


def _did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    meant = prefix + close[0].upper() if close and prefix else "".join(close)
    return f"did you mean {meant}? else " if meant else ""


def _source(origin: str, name: str) -> str:
    if origin == "--":
        return "--" + name.replace("_", "-")
    return origin + name.upper() if origin == ENV_PREFIX else origin


def _problem(cls: type[Settings], error: ErrorDetails, sources: Mapping[str, str]) -> str:
    name = str(error["loc"][0])
    field = cls.model_fields[name]
    shown = "" if field.annotation is SecretStr else f" {str(error.get('input'))!r}"
    if error["type"] == "value_error":  # one of ours: says the remedy itself
        return f"{name} ({sources[name]}):{shown} {error['ctx']['error']}"
    what = error["msg"].removeprefix("Input ")
    return f"{name} ({sources[name]}):{shown} {what}; write e.g. {(field.examples or [''])[0]}"
