"""Settings of limits under load, and of durations."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from placet.kernel.limits import (
    CHECKPOINT_INTERVAL_SECONDS,
    IDEMPOTENCY_RETENTION_HOURS,
    OUTCOME_EXCESS_FACTOR,
    PERMIT_TTL_SECONDS,
    QUEUE_DEPTH_MAX,
    RESERVATION_TTL_SECONDS,
)
from placet.server.settings.fields import Count


class LimitSettings(BaseSettings):
    """The part of `Settings` about queues, callers, reservations and idempotency keys."""

    queue_depth_max: Count = Field(
        default=QUEUE_DEPTH_MAX,
        ge=1,
        le=1_000_000,
        description="How many actions may wait for a decision. Further ones fail immediately with RESOURCE_EXHAUSTED.",
        examples=["1024"],
    )
    caller_requests_per_second_max: Count = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="How many requests each caller may send to one process in a second, after a burst of as many. "
        "Each action of a batch counts, so batches must not be larger. Further ones fail with RESOURCE_EXHAUSTED. "
        "Without auth_file, a caller is an address. 0: no limit.",
        examples=["500"],
    )
    caller_streams_max: Count = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="How many streams each caller may have open at one process: AuthorizeStream and watch streams "
        "together. Further ones fail with RESOURCE_EXHAUSTED. 0: no limit.",
        examples=["64"],
    )
    checkpoint_interval_seconds: Count = Field(
        default=CHECKPOINT_INTERVAL_SECONDS,
        ge=1,
        le=86_400,
        description="How often new records of the audit chain are signed, in seconds.",
        examples=["60"],
    )
    reservation_ttl_seconds: Count = Field(
        default=RESERVATION_TTL_SECONDS,
        ge=PERMIT_TTL_SECONDS,
        le=86_400,
        description="How long an allow reserves its budgets while no outcome is reported, in seconds. Afterwards each "
        "budget counts or releases the reservation, as its `unreported` setting says.",
        examples=["900"],
    )
    outcome_excess_factor: Count = Field(
        default=OUTCOME_EXCESS_FACTOR,
        ge=0,
        le=1_000_000,
        description="An outcome may count up to this many times the reserved amount. An operator accepts or drops the "
        "rest. 0: count every outcome in full.",
        examples=["10"],
    )
    idempotency_retention_hours: Count = Field(
        default=IDEMPOTENCY_RETENTION_HOURS,
        ge=IDEMPOTENCY_RETENTION_HOURS,
        le=8_760,
        description="How long an idempotency key is stored, in hours. Afterwards the same key starts a new request.",
        examples=["24"],
    )
