"""Settings of the page where people approve, and of webhooks."""

from __future__ import annotations

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from placet.approvals.page import ApprovalUrlTemplate
from placet.kernel.limits import WEBHOOK_TIMEOUT_MS
from placet.server.settings.fields import Count
from placet.webhooks.signing import read_secrets
from placet.webhooks.target import Target


class NotificationSettings(BaseSettings):
    """The part of `Settings` about approval pages and webhooks."""

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
    webhook_timeout_ms: Count = Field(
        default=WEBHOOK_TIMEOUT_MS,
        ge=100,
        le=60_000,
        description="Time limit of one webhook delivery, in milliseconds. Afterwards the delivery is retried.",
        examples=["15000"],
    )

    @field_validator("approval_url")
    @classmethod
    def _check_approval_url(cls, value: str) -> str:
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
