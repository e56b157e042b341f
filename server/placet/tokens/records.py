"""Builds the records of access tokens that are created or revoked. No record has the text of a token or its hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.access_records import caller_fields
from placet.audit.control_record import control_record
from placet.audit.records import RecordKind
from placet.tokens.documents import grants_to_json

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand
    from placet.kernel.state import Change
    from placet.tokens.model import AccessToken


def token_created(token: AccessToken, command: ChangeCommand, changes: tuple[Change, ...]) -> Commitment:
    """Record that an access token was created."""
    fields = {"token_id": token.token_id, "expires_at_us": token.expires_at_us, **caller_fields(command.caller)}
    part = {
        "name": token.name,
        "person": token.person,
        "person_roles": list(token.person_roles),
        "grants": grants_to_json(token.grants),
        "actor": command.actor,
    }
    return control_record(RecordKind.TOKEN_CREATED, token.tenant, token.created_at_us, fields, part, changes)


def token_revoked(token: AccessToken, command: ChangeCommand, now_us: int, changes: tuple[Change, ...]) -> Commitment:
    """Record that an access token was revoked."""
    fields = {"token_id": token.token_id, **caller_fields(command.caller)}
    part = {"name": token.name, "person": token.person, "actor": command.actor, "reason": command.reason}
    return control_record(RecordKind.TOKEN_REVOKED, token.tenant, now_us, fields, part, changes)
