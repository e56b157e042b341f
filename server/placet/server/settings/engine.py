"""Settings of OPA, and of how old a policy may be that decides."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from placet.kernel.limits import OPA_TIMEOUT_MS
from placet.matching.addresses import check_opa_address
from placet.server.settings.fields import Count


class EngineSettings(BaseSettings):
    """The part of `Settings` about the policy engine, and about policies and clocks that are not trusted."""

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
    opa_timeout_ms: Count = Field(
        default=OPA_TIMEOUT_MS,
        ge=1,
        le=60_000,
        description="Time limit of one query to OPA, in milliseconds. After it the decision is deny "
        "pdp.engine_timeout.",
        examples=["250"],
    )
    max_policy_age_seconds: Count = Field(
        default=86_400,
        ge=0,
        description="When the policy folder or the external OPA cannot be read for longer than this, in seconds, every"
        " action is denied with pdp.policy_stale. A newer policy that was read and rejected does not "
        "count. 0: no limit.",
        examples=["86400"],
    )
    clock_skew_max_seconds: Count = Field(
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
