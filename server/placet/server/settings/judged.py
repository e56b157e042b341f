"""The settings that decide how safe a server is: a running server writes them down for `placet doctor --production`.

None of them is secret.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.server.settings.model import Settings

_FILES: Final = (
    *("auth_file", "permit_key_encryption_file", "permit_keys_dir", "rego_dir"),
    *("tls_cert_file", "tls_client_ca_file", "tls_key_file"),
)
JUDGED: Final = (
    *("clock_skew_max_seconds", "confirm_policy_removals", "http_listen", "listen", "listen_socket_mode"),
    *("metrics_listen", "mtls_listen", "opa_address", "replica_id", "tls_terminated", "unsafe_no_auth"),
    *_FILES,
)
SHARED_KEYS: Final = "permit_keys_in_database"
"""No setting, but what several secret ones say together: whether the permit keys are in the database."""


def judged_settings(settings: Settings) -> dict[str, Any]:
    """Return the values as JSON has them, with absolute paths: who reads them may work in another folder."""
    values = {name: getattr(settings, name) for name in JUDGED}
    values |= {name: str(Path(values[name]).absolute()) for name in _FILES if values[name]}
    return values | {SHARED_KEYS: settings.has_shared_keys}


def different(settings: Settings, running: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that have another value in the running server."""
    given = judged_settings(settings)
    return [name for name in JUDGED if name in running and running[name] != given[name]]


def with_judged(settings: Settings, running: Mapping[str, Any]) -> Settings:
    """Return the settings with the values of the running server. Values of another type are left out."""
    types = {name: type(value) for name, value in judged_settings(settings).items()}
    values = {name: running[name] for name in JUDGED if type(running.get(name)) is types[name]}
    if "rego_dir" in values:
        values["rego_dir"] = Path(values["rego_dir"])
    return settings.model_copy(update=values)
