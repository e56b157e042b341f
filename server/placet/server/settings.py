"""Settings of the server: names, defaults, descriptions and rules.

`placet.server.settings_sources` reads them from flags, variables and files. `Settings(...)` reads no source.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from placet.approvals.page import ApprovalUrlTemplate
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
    WORKERS_MAX,
)
from placet.matching.addresses import check_opa_address
from placet.server.key_settings import KeySettings
from placet.server.listening import ListeningSettings
from placet.server.release_settings import ReleaseSettings
from placet.server.usable_cores import worker_count
from placet.webhooks.signing import read_secrets
from placet.webhooks.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.storage.database import Database

ENV_PREFIX: Final = "PLACET_"
_DATA_DIR_COMMAND: Final = re.compile(r"`(placet (?:audit|db|doctor|keys|serve)\b(?![^`]* --data-dir)[^`]*)`")
"""Matches commands in a text that read the data directory and do not name one."""
_REPLICA_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def _reject_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns ValueError into its own
    return value


_Count = Annotated[int, BeforeValidator(_reject_boolean)]


def shipped_dir(name: str, beside: str, package: Path = Path(__file__).parents[1]) -> Path:
    """Return the package's folder `name`, or the checkout's folder `beside` when the package runs from a checkout."""
    inside, checkout = package / name, package.parent.parent / beside
    return checkout if not inside.is_dir() and package.parent.name == "server" and checkout.is_dir() else inside


class Settings(KeySettings, ReleaseSettings, ListeningSettings):
    """All settings of `placet serve`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    _lock_descriptors: tuple[int, ...] = PrivateAttr(default=())
    _is_worker: bool = PrivateAttr(default=False)

    data_dir: Path = Field(
        default=Path(".placet"),
        description="Directory of the database, the signing keys and the bundle cache. Created when it does not exist.",
        examples=["/var/lib/placet"],
    )
    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="PostgreSQL database for the audit trail and all state, postgresql://user@host/name. Needed for "
        "several replicas. Empty: SQLite, in placet.db of data_dir.",
        examples=["postgresql://placet@db.internal/placet"],
    )
    rego_dir: Path = Field(
        default=Path("rego"),
        description="Directory of the Rego policies and the tenants' files.",
        examples=["./rego"],
    )
    replica_id: str = Field(
        default="placet",
        description="Id of this replica: the writer of its audit chain. 1 to 64 characters of [A-Za-z0-9._-], starting"
        " with a letter or digit.",
        examples=["placet"],
    )
    workers: Annotated[int, BeforeValidator(worker_count)] = Field(
        default=1,
        ge=1,
        le=WORKERS_MAX,
        description="How many processes decide: a number, or auto for one on each usable core. Several share the port, "
        "the database and one OPA, and each writes its own audit chain, named replica_id.1, replica_id.2 and so on.",
        examples=["4"],
    )
    opa_address: str = Field(
        default="",
        description="Address of an external OPA, http://host:port or unix:///path. Empty: Placet starts its own.",
        examples=["http://127.0.0.1:8181"],
    )
    opa_path: str = Field(
        default="",
        description="Path of the opa program of a managed OPA. Empty: the installed one, else the one on PATH. Cannot "
        "be combined with opa_address.",
        examples=["/usr/local/bin/opa"],
    )
    opa_required_revision: str = Field(
        default="",
        description="Policy revision that an external OPA must serve; any other revision is denied. Empty: any "
        "revision. Needs opa_address, and no policy_url.",
        examples=["3f9a0c51"],
    )
    opa_timeout_ms: _Count = Field(
        default=OPA_TIMEOUT_MS,
        ge=1,
        le=60_000,
        description="Time limit of one query to OPA, in milliseconds. After it the decision is deny "
        "pdp.engine_timeout.",
        examples=["250"],
    )
    max_policy_age_seconds: _Count = Field(
        default=86_400,
        ge=0,
        description="When the policy folder or the external OPA cannot be read for longer than this, in seconds, every"
        " action is denied with pdp.policy_stale. A newer policy that was read and rejected does not "
        "count. 0: no limit.",
        examples=["86400"],
    )
    clock_skew_max_seconds: _Count = Field(
        default=60,
        ge=0,
        description="When the clock is behind the newest record, or on PostgreSQL differs from the database server's "
        "clock, by more than this, in seconds, every action is denied with pdp.clock_skew. 0: trust the "
        "machine's clock, even when it was set back.",
        examples=["60"],
    )
    confirm_policy_removals: bool = Field(
        default=True,
        description="Hold back a policy that removes restrictions, or that lacks the end of a file, until a person "
        "runs `placet policy confirm`. False: activate it immediately. Has no effect with opa_address but no "
        "policy_url.",
        examples=["true"],
    )
    queue_depth_max: _Count = Field(
        default=QUEUE_DEPTH_MAX,
        ge=1,
        le=1_000_000,
        description="How many actions may wait for a decision. Further ones fail immediately with RESOURCE_EXHAUSTED.",
        examples=["1024"],
    )
    caller_requests_per_second_max: _Count = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="How many requests each caller may send to one process in a second, after a burst of as many. "
        "Each action of a batch counts, so batches must not be larger. Further ones fail with RESOURCE_EXHAUSTED. "
        "Without auth_file, a caller is an address. 0: no limit.",
        examples=["500"],
    )
    caller_streams_max: _Count = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="How many streams each caller may have open at one process: AuthorizeStream and watch streams "
        "together. Further ones fail with RESOURCE_EXHAUSTED. 0: no limit.",
        examples=["64"],
    )
    checkpoint_interval_seconds: _Count = Field(
        default=CHECKPOINT_INTERVAL_SECONDS,
        ge=1,
        le=86_400,
        description="How often new records of the audit chain are signed, in seconds.",
        examples=["60"],
    )
    reservation_ttl_seconds: _Count = Field(
        default=RESERVATION_TTL_SECONDS,
        ge=PERMIT_TTL_SECONDS,
        le=86_400,
        description="How long an allow reserves its budgets while no outcome is reported, in seconds. Afterwards each "
        "budget counts or releases the reservation, as its `unreported` setting says.",
        examples=["900"],
    )
    outcome_excess_factor: _Count = Field(
        default=OUTCOME_EXCESS_FACTOR,
        ge=0,
        le=1_000_000,
        description="An outcome may count up to this many times the reserved amount. An operator accepts or drops the "
        "rest. 0: count every outcome in full.",
        examples=["10"],
    )
    idempotency_retention_hours: _Count = Field(
        default=IDEMPOTENCY_RETENTION_HOURS,
        ge=IDEMPOTENCY_RETENTION_HOURS,
        le=8_760,
        description="How long an idempotency key is stored, in hours. Afterwards the same key starts a new request.",
        examples=["24"],
    )
    approval_url: str = Field(
        default="",
        description="URL of the page where people approve, http or https, with {approval_id} and optionally {tenant}. "
        "Returned with every decision that requires an approval. Empty: none.",
        examples=["https://approvals.example.com/{tenant}/{approval_id}"],
    )
    webhook_allow_private_networks: bool = Field(
        default=False,
        description="Allow webhook_url to point to a private or loopback address, and to use http there.",
        examples=["true"],
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret that signs webhooks: whsec_ followed by the base64 of 24 to 64 bytes. Several secrets, "
        "separated by spaces, each add a signature, so that receivers can rotate them.",
        examples=["whsec_cGxlYXNlIG1ha2Ugb25lIG9mIHlvdXIgb3du"],
    )
    webhook_url: str = Field(
        default="",
        description="URL that receives approval events, https://host/path. Empty: send none. Needs webhook_secret.",
        examples=["https://hooks.example.com/placet"],
    )
    webhook_timeout_ms: _Count = Field(
        default=WEBHOOK_TIMEOUT_MS,
        ge=100,
        le=60_000,
        description="Time limit of one webhook delivery, in milliseconds. Afterwards the delivery is retried.",
        examples=["15000"],
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged.", examples=["info"]
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="Format of the log lines on stderr.", examples=["json"]
    )
    reflection: bool = Field(
        default=True, description="Serve gRPC reflection, so that tools such as grpcurl work.", examples=["true"]
    )

    @property
    def database(self) -> Database:
        """The database that holds the ledger."""
        from placet.storage.connections.write_turns import Sharing  # noqa: PLC0415 - as below
        from placet.storage.database import choose_database  # noqa: PLC0415 - takes 0.2 s, which most commands do not need

        sharing = Sharing(self.workers > 1, self._lock_descriptors)
        return choose_database(self.database_url.get_secret_value(), self.data_dir / "placet.db", sharing)

    def of_worker(self, number: int, lock_descriptors: tuple[int, ...]) -> Settings:
        """Return the settings of a worker process: it writes its own chain, and holds the lock of its parent."""
        settings = self.model_copy(update={"replica_id": f"{self.replica_id}.{number}"})
        settings._lock_descriptors = lock_descriptors  # noqa: SLF001 - its own class
        settings._is_worker = True  # noqa: SLF001 - likewise
        return settings

    @property
    def is_worker(self) -> bool:
        """Whether these are the settings of a worker process."""
        return self._is_worker

    def require_data_dir(self) -> None:
        """Raise ConfigurationError when the path of the data directory is not a directory."""
        if self.data_dir.exists() and not self.data_dir.is_dir():
            raise ConfigurationError(f"{self.data_dir}: is a file, not a directory; name a directory with --data-dir")

    def require_rego_dir(self) -> None:
        """Raise ConfigurationError when the policy folder is used and does not exist.

        The example is never served instead.
        """
        if not self.policy_url and not self.rego_dir.is_dir():
            example = shipped_dir("_rego", "rego")
            raise ConfigurationError(
                f"{self.rego_dir}: no such policy folder; name yours with --rego-dir, begin with a copy of the example "
                f"in {example}, or run `placet demo` to see that example decide"
            )

    @property
    def policy_root(self) -> Path:
        """What problems of the policy name as its folder."""
        return Path("bundle") if self.policy_url else self.rego_dir

    @property
    def keys_dir(self) -> Path:
        """Directory of the keys that sign the audit chain."""
        return self.data_dir / "keys"

    def name_data_dir(self, text: str) -> str:
        """Add ``--data-dir`` to every command in the text, unless the data directory is the default."""
        if self.data_dir == type(self).model_fields["data_dir"].default:
            return text
        named = shlex.quote(str(self.data_dir))
        return _DATA_DIR_COMMAND.sub(lambda found: f"`{found[1]} --data-dir {named}`", text)

    @property
    def permit_keys_folder(self) -> Path:
        """Directory of the keys that sign permits, when they are not in the database."""
        return Path(self.permit_keys_dir) if self.permit_keys_dir else self.keys_dir / "permits"

    @property
    def bundles_dir(self) -> Path:
        """Directory of the cache of built bundles."""
        return self.data_dir / "bundles"

    @field_validator("database_url")
    @classmethod
    def _check_database_url_form(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            _check_database_url(value.get_secret_value())
        return value

    @field_validator("replica_id")
    @classmethod
    def _check_replica_id(cls, value: str) -> str:
        if not _REPLICA_ID.match(value):
            raise ValueError("must be 1 to 64 characters of [A-Za-z0-9._-], starting with a letter or digit")
        return value

    @field_validator("workers")
    @classmethod
    def _check_workers(cls, value: int, info: ValidationInfo) -> int:
        replica_id = info.data.get("replica_id", "")
        if value > 1 and not _REPLICA_ID.match(f"{replica_id}.{value}"):
            raise ValueError("names the workers replica_id.N, which is longer than 64 characters; shorten replica_id")
        return value

    @field_validator("opa_address")
    @classmethod
    def _check_opa_address(cls, value: str) -> str:
        if value:
            check_opa_address(value)
        return value

    @field_validator("opa_path", "opa_required_revision")
    @classmethod
    def _check_opa_mode(cls, value: str, info: ValidationInfo) -> str:
        if "opa_address" not in info.data:  # opa_address is invalid and reported already
            return value
        external = bool(info.data["opa_address"])
        if value and info.field_name == "opa_path" and external:
            raise ValueError("is for a managed OPA, but opa_address names an external one; remove one of the two")
        if value and info.field_name == "opa_required_revision" and not external:
            raise ValueError("is for an external OPA; set opa_address as well, or remove it")
        if value and info.field_name == "opa_required_revision" and info.data.get("policy_url"):
            raise ValueError("is not needed: OPA must serve the bundle of policy_url; remove it")
        return value

    @field_validator("approval_url")
    @classmethod
    def _template(cls, value: str) -> str:
        ApprovalUrlTemplate.parse(value)
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            read_secrets(value.get_secret_value())
        return value

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.keys() >= {"webhook_allow_private_networks", "webhook_secret"}:  # else reported already
            Target.parse(value, allow_private=info.data["webhook_allow_private_networks"])
            if not info.data["webhook_secret"].get_secret_value():
                raise ValueError("needs webhook_secret as well, so that receivers can verify the sender")
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
        """Take values from arguments only: `load_settings` reads the other sources and keeps track of them."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def describe(self, sources: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Return (name, value as text, source) of each setting in declaration order, with secrets masked."""
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
        raise ValueError("must begin with postgresql://, e.g. postgresql://user@host/name")
    from placet.storage.connections.postgres import is_conninfo  # noqa: PLC0415 - imports the driver

    if not is_conninfo(value):
        raise ValueError("is not a PostgreSQL URL; write e.g. postgresql://user@host:5432/name")
