"""Builds the URL of the page on which people vote, for each approval. The setting `approval_url` has the template."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from placet.kernel.limits import URI_BYTES_MAX

APPROVAL_ID: Final = "{approval_id}"
TENANT: Final = "{tenant}"
_EXAMPLE: Final = f"https://host/path/{APPROVAL_ID}"
_SCHEMES: Final = frozenset({"http", "https"})
_PLACEHOLDER: Final = re.compile(rf"{re.escape(APPROVAL_ID)}|{re.escape(TENANT)}")


@dataclass(frozen=True, slots=True)
class ApprovalUrlTemplate:
    """A template for the URLs of approvals."""

    template: str = ""
    """"" when there is no page."""

    @classmethod
    def parse(cls, template: str) -> ApprovalUrlTemplate:
        """Return the template of a text such as ``https://host/{tenant}/{approval_id}``.

        Raises ValueError that says what is wrong.
        """
        if not template:
            return cls()
        if len(template) > URI_BYTES_MAX:
            raise ValueError(f"must have at most {URI_BYTES_MAX} characters")
        if not template.isascii() or not template.isprintable() or " " in template:
            raise ValueError("must be plain ASCII; write other characters percent-encoded, and names in punycode")
        _check_url(template)
        if APPROVAL_ID not in template:
            raise ValueError(f"must contain {APPROVAL_ID}, as in {_EXAMPLE}")
        if set("{}") & set(_PLACEHOLDER.sub("", template)):
            raise ValueError(f"can contain {APPROVAL_ID} and {TENANT} and no other braces")
        return cls(template)

    def url(self, tenant: str, approval_id: str) -> str:
        """Return the URL of an approval; "" when there is no page or no approval."""
        if not self.template or not approval_id:
            return ""
        values = {APPROVAL_ID: quote(approval_id, safe=""), TENANT: quote(tenant, safe="")}
        return _PLACEHOLDER.sub(lambda match: values[match[0]], self.template)


def _check_url(template: str) -> None:
    try:
        parts = urlsplit(template)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"must be a URL such as {_EXAMPLE}: {error}") from None
    if parts.scheme not in _SCHEMES or not host or port == 0:
        raise ValueError(f"must be an http or https URL such as {_EXAMPLE}")
    if "@" in parts.netloc:
        raise ValueError("must name no user or password, because every caller sees the URL")
    if set("{}") & set(parts.netloc):
        raise ValueError(f"must name its host without {APPROVAL_ID} or {TENANT}, as in {_EXAMPLE}")


NO_APPROVAL_URL: Final = ApprovalUrlTemplate()
"""The server has no page on which people approve."""
