"""Settings of a policy that is read from an address."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from placet.matching.addresses import REGISTRY_SCHEMES, check_policy_url


class ReleaseSettings(BaseSettings):
    """The part of `Settings` about published policy."""

    policy_verification_key: str = Field(
        default="",
        description="File with the public keys, in PEM, one of which must have signed the bundle of policy_url. Read "
        "for each bundle. Empty: no signature is needed, which only a file:// address allows.",
        examples=["/etc/placet/policy-key.pub.pem"],
    )
    policy_token_file: str = Field(
        default="",
        description="File with the bearer token for policy_url, read for each request. Empty: none is sent.",
        examples=["/etc/placet/policy-token"],
    )
    policy_registry_user: str = Field(
        default="",
        description="Name for the registry of an oci:// address; policy_token_file has the password. Empty: "
        "policy_token_file has a bearer token.",
        examples=["placet"],
    )
    policy_url_ca_file: str = Field(
        default="",
        description="File with the CA certificates, in PEM, that sign the certificate of policy_url, read for each "
        "request. Empty: those of the system.",
        examples=["/etc/placet/policy-ca.pem"],
    )
    policy_activation: Literal["immediate", "two_people"] = Field(
        default="immediate",
        description="When a new policy decides: immediate, or two_people, which holds it until a person who did not "
        "publish it runs `placet policy confirm`. Two people must confirm it when it is not known who published it, or "
        "a program did.",
        examples=["two_people"],
    )
    policy_url: str = Field(
        default="",
        validate_default=True,
        description="Address of the policy bundle, https://host/path, oci://registry/repository:tag, file:///path, or "
        "http:// on this machine. Read instead of rego_dir, and read again when it changes. With opa_address, OPA must "
        "pull the same bundle. Empty: read rego_dir.",
        examples=["https://policy.example.com/bundle.tar.gz"],
    )

    @field_validator("policy_url")
    @classmethod
    def _check_policy_url(cls, value: str, info: ValidationInfo) -> str:
        data = info.data
        if not value:
            for name in ("policy_verification_key", "policy_token_file", "policy_registry_user", "policy_url_ca_file"):
                if data.get(name):
                    raise ValueError(f"is empty, but {name} is set; set both, or remove it")
            return value
        check_policy_url(value)
        scheme = urlsplit(value).scheme
        is_file = scheme == "file"
        if not is_file and not data.get("policy_verification_key"):
            raise ValueError("needs policy_verification_key, so that only signed policy is served")
        if is_file and data.get("policy_token_file"):
            raise ValueError("is a file, which takes no policy_token_file; remove it")
        if scheme not in {"https", "oci"} and data.get("policy_url_ca_file"):
            raise ValueError("is not encrypted, so policy_url_ca_file is not used; remove it")
        if data.get("policy_registry_user") and (scheme not in REGISTRY_SCHEMES or not data.get("policy_token_file")):
            raise ValueError("must be oci:// and needs policy_token_file, as policy_registry_user is set")
        return value
