"""The clients for code that blocks. They are safe to use from several threads."""

from placet.sdk._sync.approvals import ApprovalClient
from placet.sdk._sync.audit import AuditClient
from placet.sdk._sync.client import Client
from placet.sdk._sync.controls import ControlClient
from placet.sdk._sync.keys import KeyClient
from placet.sdk._sync.tokens import TokenClient

__all__ = ["ApprovalClient", "AuditClient", "Client", "ControlClient", "KeyClient", "TokenClient"]
