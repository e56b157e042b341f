"""The check of `placet doctor` of a policy that is read from an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.cli.doctor.check import Check, passed
from placet.engine.download import DownloadError
from placet.kernel.clock import rfc3339
from placet.kernel.errors import ConfigurationError
from placet.policy.bundles.release import read_release
from placet.policy.bundles.signatures import read_verification_keys
from placet.server.parts.policies import published_by

if TYPE_CHECKING:
    from placet.policy.bundles.release import Release
    from placet.server.settings.model import Settings


def published_check(url: str, release: Release) -> Check:
    """Return the check of a release that was downloaded and verified. The server also checks the policy in it."""
    created = f", created at {rfc3339(release.created_at_us)}" if release.created_at_us else ""
    return passed("policies", f"{url}: revision {release.revision}{created}")


def published_release(settings: Settings) -> Release:
    """Download the release of `policy_url` and verify it. Raises ConfigurationError and PolicyInvalidError."""
    published = published_by(settings)
    if published is None:
        raise AssertionError("called with policy_url")
    keys = read_verification_keys(published.verification_key) if published.verification_key is not None else ()
    try:
        content = published.releases.get("", 0.0).content or b""
    except DownloadError as error:
        remedy = "see policy_url, policy_token_file and policy_url_ca_file"
        raise ConfigurationError(f"{published.url}: {error}; {remedy}") from error
    return read_release(content, keys)
