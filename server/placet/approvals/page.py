"""The page on which people approve: a URL for each request for approval."""

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
class ApprovalPage:
    """A template of URLs. Empty: there is no page."""

    template: str = ""

    @classmethod
    def parse(cls, template: str) -> ApprovalPage:
        """Read a template such as ``https://host/{tenant}/{approval_id}``. ValueError says what is wrong."""
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
        """Return the page of a request for approval; "" when there is no page or no request."""
        if not self.template or not approval_id:
            return ""
        values = {APPROVAL_ID: quote(approval_id, safe=""), TENANT: quote(tenant, safe="")}
        return _PLACEHOLDER.sub(lambda found: values[found[0]], self.template)


def _check_url(template: str) -> None:
    try:
        parts = urlsplit(template)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"must be a URL such as {_EXAMPLE}: {error}") from None
    if parts.scheme not in _SCHEMES or not host or port == 0:
        raise ValueError(f"must be an http or https URL such as {_EXAMPLE}")
    if "@" in parts.netloc:
        raise ValueError("must name no user or password: every caller sees the URL")
    if set("{}") & set(parts.netloc):
        raise ValueError(f"must name its host without {APPROVAL_ID} or {TENANT}, as in {_EXAMPLE}")


NO_PAGE: Final = ApprovalPage()
"""The server has no page on which people approve."""
