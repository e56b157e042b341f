"""Settings of where a server keeps its data, and of the processes that share it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from placet.kernel.limits import WORKERS_MAX
from placet.matching.addresses import unix_path
from placet.server.usable_cores import worker_count

_REPLICA_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class StorageSettings(BaseSettings):
    """The part of `Settings` about data, policy files, replicas and workers."""

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
        if value > 1 and unix_path(info.data.get("listen", "")) is not None:
            raise ValueError(
                "cannot share a unix socket, as they share a port; remove workers, or listen on 127.0.0.1:7070"
            )
        return value


def _check_database_url(value: str) -> None:
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://, e.g. postgresql://user@host/name")
    from placet.storage.connections.postgres import is_conninfo  # noqa: PLC0415 - imports the driver

    if not is_conninfo(value):
        raise ValueError("is not a PostgreSQL URL; write e.g. postgresql://user@host:5432/name")
