"""The fields of records that say who called, and the record of a call that was refused to its caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from placet.audit.records import Commitment, RecordKind
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from placet.kernel.model import Caller, UserProof

PEER: Final = "access"
"""Part of a refused access: the address of the caller, and the text of the error."""


def member(name: str, value: str) -> bytes:
    """Return a member of a record's body or part as it is stored: ``"caller":"ci"``.

    Other texts of the record cannot contain it, because JSON escapes their quotes.
    """
    return b"%b:%b" % (orjson.dumps(name), orjson.dumps(value))


def caller_fields(caller: Caller) -> dict[str, str]:
    """Return who called. How the caller proved it, and who vouches for it, are absent without authentication."""
    fields = {"caller": caller.name}
    if caller.method:
        fields["caller_method"] = caller.method
    if caller.issuer:
        fields["caller_issuer"] = caller.issuer
    return fields


def user_fields(proof: UserProof) -> dict[str, str]:
    """Return how the user is known, and the issuer of the user token if there was one."""
    fields = {"user_method": proof.method}
    if proof.issuer:
        fields["user_issuer"] = proof.issuer
    return fields


def access_refused_commitment(
    tenant: str, caller: Caller, host: str, method: str, reason: str, text: str, left_out: int, recorded_at_us: int
) -> Commitment:
    """Return the record of a call that its caller may not make, or whose credential proves nothing.

    `tenant` is empty when the call names none or was not read. `host` is the address of the caller without its port.
    `text` is that of the error. `left_out` is how many like it were not recorded since the record before.
    """
    fields = {**caller_fields(caller), "method": method, "reason": reason, "left_out": left_out}
    part = orjson.dumps({"host": host, "text": redact_text(text)})
    return Commitment(RecordKind.ACCESS_REFUSED, tenant, recorded_at_us, fields, {PEER: part})
