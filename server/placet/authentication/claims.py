"""What the claims of a verified token mean: the caller, the person, the user and the roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from placet.authentication.authenticator import invalid
from placet.authentication.issuers import SEPARATOR
from placet.identity.model import is_tenant
from placet.kernel.limits import LABEL_BYTES_MAX, PRINCIPAL_BYTES_MAX, ROLES_MAX
from placet.matching.json_pointer import MISSING, resolve
from placet.matching.names import folded, name_error
from placet.privacy.id_secrets import secret_in_id

if TYPE_CHECKING:
    from placet.authentication.issuers import ClaimValues, IssuerEntry

Claims = dict[str, Any]
_SCOPES: Final = frozenset({"scope", "scp"})
"""Claims that list several values in one text, separated by blanks (RFC 8693)."""
_CLIENTS: Final = ("cid", "client_id", "azp", "appid")
"""Claims with the id of the program that requested the token."""
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
"""How the subjects of Kubernetes service accounts begin."""
_KEYCLOAK_ACCOUNT: Final = "service-account-"
"""How Keycloak names the users that belong to programs, in ``preferred_username``."""
_GOOGLE_ACCOUNTS: Final = ".gserviceaccount.com"
"""How the addresses of Google's service accounts end. Google says that they are verified."""


def claim_of(claims: Claims, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a claim, or MISSING. A name that begins with ``/`` is a JSON pointer to a claim within others."""
    return resolve(claims, name) if name.startswith("/") else claims.get(name, MISSING)


def caller_id(claims: Claims, entry: IssuerEntry) -> str:
    """Return ``issuer|subject``. UnauthenticatedError if the token names no subject."""
    return _checked_id(f"{entry.issuer}{SEPARATOR}{_text(claims, entry.caller_claim)}", entry.caller_claim)


def person_id(claims: Claims, entry: IssuerEntry) -> str:
    """Return the id of the person, in the form that all its spellings share.

    UnauthenticatedError if the claim that identifies people is missing or not verified. Such a token does not fall back
    to ``issuer|subject``: a person who can have tokens with and without the claim would be two people.
    """
    if not entry.person_claim:
        return folded(_storable(caller_id(claims, entry), entry.caller_claim))
    verified = entry.person_verified_claim
    if verified and claim_of(claims, verified) is not True:
        raise invalid(f"the token does not say who the person is: the claim {verified} is not true")
    person = _text(claims, entry.person_claim)
    if SEPARATOR in person:
        raise invalid(f'the claim {entry.person_claim} of the token must not contain "{SEPARATOR}"')
    return folded(_storable(_checked_id(person, entry.person_claim), entry.person_claim))


def is_person(claims: Claims, entry: IssuerEntry) -> bool:
    """Return whether the subject is a person, and not a program that got the token for itself."""
    return not _is_program(claims) and matches(claims, entry.people_when)


def calls_for_another(claims: Claims) -> bool:
    """Return whether a program holds the token to act for its subject (the claim ``act`` of RFC 8693)."""
    return "act" in claims


def matches(claims: Claims, wanted: ClaimValues) -> bool:
    """Return whether each claim has its value, or lists it."""
    return all(value in _values(claims, name) for name, value in wanted.items())


def roles_of(claims: Claims, entry: IssuerEntry) -> tuple[str, ...]:
    """Return the roles, sorted and distinct. UnauthenticatedError if there are too many, or if one is no label."""
    if not entry.roles_claim:
        return ()
    roles = _texts(claims, entry.roles_claim)
    if len(roles) > ROLES_MAX:
        raise invalid(
            f"the claim {entry.roles_claim} of the token lists {len(roles)} roles; at most {ROLES_MAX} are accepted; "
            "let the issuer list only the roles that policy names"
        )
    for role in roles:
        if not role.strip() or not role.isprintable() or len(role.encode()) > LABEL_BYTES_MAX:
            raise invalid(
                f"the claim {entry.roles_claim} of the token has a role that is blank, has invisible characters or is "
                f"longer than {LABEL_BYTES_MAX} bytes"
            )
    return tuple(sorted(roles))


def tenants_of(claims: Claims, entry: IssuerEntry) -> frozenset[str]:
    """Return the tenants of a user. What can be no tenant's name is left out, so ``*`` in a token is no wildcard."""
    if not entry.tenants_claim:
        return frozenset(entry.user_tenants)
    return frozenset(filter(is_tenant, _texts(claims, entry.tenants_claim)))


def principal_id(claims: Claims, entry: IssuerEntry) -> str:
    """Return who delegates: a person's id as it has when the person votes, or the subject as agents are named.

    UnauthenticatedError if the issuer may not sign for it.
    """
    principal = person_id(claims, entry) if entry.people else _checked_id(_text(claims, entry.caller_claim), "sub")
    if not entry.may_delegate_for(principal):
        raise invalid("the issuer of the token may not delegate for its subject; see delegators")
    return principal


def delegate_of(claims: Claims) -> str:
    """Return to whom the token delegates: the subject of the claim ``act`` (RFC 8693)."""
    actor = claims.get("act")
    subject = actor.get("sub") if isinstance(actor, dict) else None
    if not isinstance(subject, str) or not subject:
        raise invalid("the claim act of the token must name in sub to whom it delegates")
    return _checked_id(subject, "act.sub")


def scopes_of(claims: Claims) -> tuple[str, ...]:
    """Return the tools that the token hands on, sorted and distinct: the claim ``scope``, separated by blanks."""
    scopes = claims.get("scope")
    if not isinstance(scopes, str) or not scopes.split():
        raise invalid("the claim scope of the token must name tools, separated by blanks; * for every tool")
    return tuple(sorted(set(scopes.split())))


def _is_program(claims: Claims) -> bool:
    """Return whether the token says that a program got it for itself, as the usual providers say so.

    Entra: ``idtyp`` is ``app``, or the subject is the object that called. Auth0: ``gty``. Okta and RFC 9068: the
    subject is the client. Kubernetes: the subject is a service account. Keycloak and Google: the name of the account.
    """
    subject = claims.get("sub", "")
    return (
        claims.get("idtyp") == "app"
        or claims.get("gty") == "client-credentials"
        or (bool(subject) and (claims.get("oid") == subject or any(claims.get(name) == subject for name in _CLIENTS)))
        or subject.startswith(_SERVICE_ACCOUNT)
        or str(claims.get("preferred_username", "")).startswith(_KEYCLOAK_ACCOUNT)
        or str(claims.get("email", "")).endswith(_GOOGLE_ACCOUNTS)
    )


def _values(claims: Claims, name: str) -> tuple[str, ...]:
    value = claim_of(claims, name)
    if isinstance(value, str):
        return tuple(value.split()) if name in _SCOPES else (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _text(claims: Claims, name: str) -> str:
    value = claim_of(claims, name)
    if not isinstance(value, str) or not value:
        raise invalid(f"the claim {name} of the token must be a text")
    return value


def _texts(claims: Claims, name: str) -> set[str]:
    """Return the texts of a claim that is one text or a list of texts; none if it is missing."""
    value = claim_of(claims, name)
    if value is MISSING:
        return set()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise invalid(f"the claim {name} of the token must be a text or a list of texts")
    return set(values)


def _storable(person: str, claim: str) -> str:
    """Return the id of a person, which requests accept and records keep. It must not look like a secret."""
    if found := secret_in_id(person):
        raise invalid(
            f"the claim {claim} of the token makes an id that holds {found}; identify people by another claim, with "
            "person_claim"
        )
    return person


def _checked_id(name: str, claim: str) -> str:
    error = "" if len(name) > PRINCIPAL_BYTES_MAX else name_error(name)
    if error:
        raise invalid(f"the claim {claim} of the token {error}")
    if len(name) > PRINCIPAL_BYTES_MAX or len(name.encode()) > PRINCIPAL_BYTES_MAX:
        raise invalid(f"the claim {claim} of the token is too long: an id has at most {PRINCIPAL_BYTES_MAX} bytes")
    return name
