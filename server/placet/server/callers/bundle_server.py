"""Builds what proves who pushes to a bundle server: the credentials that servers take, without a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.authentication.access_token import AccessTokenVerifier
from placet.authentication.authenticator import AcceptedCredentials
from placet.authentication.document import Method
from placet.authentication.file import read_authentication_file
from placet.kernel.errors import ConfigurationError
from placet.server.callers.issuers import jwt_credentials
from placet.server.system import SystemClock
from placet.storage.stored_state import StoredState
from placet.tokens.directory import TokenDirectory

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from structlog.stdlib import BoundLogger

    from placet.authentication.document import AuthenticationDocument
    from placet.authentication.issuer_keys import KeysReport
    from placet.identity.ports import Authenticator
    from placet.storage.database import Database


@dataclass(frozen=True, slots=True)
class PushersAuthentication:
    """What proves who pushes. `database` has the access tokens; None when none are accepted."""

    auth_file: Path
    document: AuthenticationDocument
    database: Database | None
    log: BoundLogger

    async def __call__(self, stack: contextlib.AsyncExitStack) -> Authenticator:
        """Start it. The stack ends its background work."""
        document, clock = self.document, SystemClock()
        jwts = await jwt_credentials(stack, document.issuers, self.auth_file.parent, self._on_keys, self._on_error)
        tokens = None
        if self.database is not None:
            directory = TokenDirectory(StoredState(self.database), clock, alone=False)
            tokens = AccessTokenVerifier(directory, _NoUses(), clock)
        return AcceptedCredentials(tokens=tokens, jwts=jwts if Method.JWT in document.accept else None)

    def _on_keys(self, report: KeysReport) -> None:
        if report.error:
            self.log.error("issuer keys unreadable", issuer=report.issuer, cause=report.error)
        else:
            self.log.info("issuer keys read", issuer=report.issuer, keys=report.keys)

    def _on_error(self, error: BaseException) -> None:
        self.log.error("internal error", exc_info=error)


class _NoUses:
    """Notes nothing: the bundle server only reads the database."""

    def note(self, token_id: str, now_us: int) -> None:
        """Do nothing."""


def pushers_authentication(auth_file: Path, database: Database, log: BoundLogger) -> PushersAuthentication:
    """Read the authentication file of a bundle server.

    ConfigurationError when it cannot be used, or accepts what a bundle server does not take, or when access tokens are
    accepted and there is no database with them.
    """
    document = read_authentication_file(auth_file)
    if Method.CERTIFICATE in document.accept:
        raise ConfigurationError(
            f"auth_file: {auth_file}: accept: a bundle server takes no client certificates; write a separate file "
            'with "token" or "jwt"'
        )
    if Method.TOKEN not in document.accept:
        return PushersAuthentication(auth_file, document, None, log)
    database.require_existing()
    return PushersAuthentication(auth_file, document, database, log)
