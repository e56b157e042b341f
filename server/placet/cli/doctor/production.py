"""The checks of `placet doctor --production`: what works, and is unsafe where others depend on it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from placet.authentication.file import read_authentication_file
from placet.authentication.people import people_warnings
from placet.cli.doctor.check import Check, failed, passed
from placet.cli.doctor.kept_checkpoint import kept_checkpoint_check
from placet.cli.doctor.machine import clock_state, free_ratio, network_file_system
from placet.kernel.errors import ConfigurationError
from placet.matching.addresses import is_local, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from placet.server.settings.model import Settings

FREE_RATIO_MIN: Final = 0.1
"""The part of the disk that must be free."""
_ENCRYPTED: Final = frozenset({"verify-ca", "verify-full"})
"""Values of sslmode with which a connection to PostgreSQL is encrypted, and its server is known."""
_GROUP_OR_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWOTH


def production_checks(settings: Settings, kept: Path | None) -> Iterator[Check]:
    """Yield every check. `kept` is a file of checkpoints from where the server cannot write."""
    checks: dict[str, Callable[[], Check]] = {
        "authentication": lambda: _authentication(settings),
        "people": lambda: _people(settings),
        "tls": lambda: _tls(settings),
        "user": _user,
        "private files": lambda: _private_files(settings),
        "policy files": lambda: _policy_files(settings),
        "clock": lambda: _clock(settings),
        "policy removals": lambda: _removals(settings),
        "kept checkpoint": lambda: kept_checkpoint_check(settings, kept),
        "free space": lambda: _free_space(settings.data_dir),
        "replicas": lambda: _replicas(settings),
    }
    if settings.database_url.get_secret_value():
        checks["database role"] = lambda: _database_role(settings)
        checks["database tls"] = lambda: _database_tls(settings)
    for name, check in checks.items():
        try:
            yield check()
        except (ConfigurationError, OSError) as error:
            yield failed(name, "; ".join(str(error).splitlines()))


def _authentication(settings: Settings) -> Check:
    name = "authentication"
    if settings.unsafe_no_auth:
        detail = "unsafe_no_auth is set: everyone who reaches the port may name any tenant, agent and approver"
        return failed(name, detail, "remove it, set auth_file, and give each caller a credential")
    if not settings.auth_file:
        who = "every process of this machine"
        if settings.listen.startswith("unix:") and settings.listen_socket_mode != "0666":
            who = f"every process with rights on {settings.listen}"
        detail = f"auth_file is not set: {who} may name any tenant, agent and approver"
        return failed(name, detail, "set auth_file, and give each caller a credential")
    if Path(settings.auth_file).stat().st_mode & _OTHERS_WRITE:
        detail = f"{settings.auth_file}: every user can write what callers may do"
        return failed(name, detail, f"chmod o-w {settings.auth_file}")
    return passed(name, f"callers are authenticated, see {settings.auth_file}")


def _people(settings: Settings) -> Check:
    name = "people"
    if not settings.auth_file or not Path(settings.auth_file).exists():
        return passed(name, "are those whom requests name, see authentication")
    if found := list(people_warnings(read_authentication_file(Path(settings.auth_file)).issuers)):
        remedy = "write in both the person_claim that is the same for a person, unless the issuers share no people"
        return failed(name, "; ".join(found), remedy)
    return passed(name, "no issuers share people whom they know by different ids")


def _tls(settings: Settings) -> Check:
    beyond = [
        f"{setting} {address}"
        for setting in ("listen", "mtls_listen", "http_listen", "metrics_listen")
        if (address := getattr(settings, setting)) and not is_local(address)
    ]
    if settings.tls_cert_file:
        which = "every listener with a port" if settings.listen.startswith("unix:") else "every listener"
        return passed("tls", f"{which} uses {settings.tls_cert_file}")
    if not beyond:
        return passed("tls", "no TLS, and listeners are reachable from this machine only")
    if settings.tls_terminated:
        return passed("tls", "a proxy ends TLS, as tls_terminated says; see that nothing else reaches the listeners")
    detail = f"no TLS at {', '.join(beyond)}: credentials and decisions can be read and changed on the way"
    return failed("tls", detail, "set tls_cert_file and tls_key_file")


def _user() -> Check:
    if os.geteuid() == 0:
        return failed(
            "user", "this command runs as root; a server needs no rights of root", "run Placet as a separate user"
        )
    return passed("user", "not root")


def _private_files(settings: Settings) -> Check:
    """Check that only the owner can read keys and records. A mounted secret may be readable by its group."""
    private = [settings.data_dir, settings.keys_dir, settings.keys_dir / "permits", settings.data_dir / "placet.db"]
    private += [path for path in settings.keys_dir.rglob("*.pem") if not path.name.endswith(".pub.pem")]
    open_to = [path for path in private if path.exists() and path.stat().st_mode & _GROUP_OR_OTHERS]
    mounted = [Path(name) for name in (settings.tls_key_file, settings.permit_key_encryption_file) if name]
    if settings.permit_keys_dir:
        mounted += Path(settings.permit_keys_dir).glob("*.pem")
    open_to += [path for path in mounted if path.stat().st_mode & stat.S_IRWXO]
    if not open_to:
        return passed("private files", "keys and records are readable by their owner only")
    names = " ".join(map(str, open_to))
    return failed("private files", f"others can read or write {names}", f"chmod go-rwx {names}")


def _policy_files(settings: Settings) -> Check:
    files = (settings.rego_dir, *settings.rego_dir.rglob("*"))
    writable = [str(path) for path in files if not path.is_symlink() and path.stat().st_mode & _OTHERS_WRITE]
    if writable:
        more = f" and {len(writable) - 1} more" if len(writable) > 1 else ""
        detail = f"every user of this machine can write {writable[0]}{more}"
        return failed("policy files", detail, f"chmod -R o-w {settings.rego_dir}")
    return passed("policy files", "not writable by every user")


def _clock(settings: Settings) -> Check:
    if not settings.clock_skew_max_seconds:
        detail = "clock_skew_max_seconds is 0: budgets and approvals follow a clock that was set back"
        return failed("clock", detail, "remove the setting, or set it to 60")
    match clock_state():
        case True:
            return passed("clock", "synchronised")
        case None:
            return passed("clock", "not known here, as in a container; see that the host synchronises its clock")
        case _:
            remedy = "run chronyd, systemd-timesyncd or another NTP client"
            return failed("clock", "not synchronised: expiry and budget windows drift", remedy)


def _removals(settings: Settings) -> Check:
    up_to_opa = bool(settings.opa_address) and not settings.policy_url
    if settings.confirm_policy_removals or up_to_opa:
        return passed("policy removals", "up to the external OPA" if up_to_opa else "held for a person")
    detail = "confirm_policy_removals is false: a policy file that was cut off may allow more at once"
    return failed("policy removals", detail, "remove the setting")


def _free_space(data_dir: Path) -> Check:
    existing = next(path for path in (data_dir, *data_dir.absolute().parents) if path.exists())
    ratio = free_ratio(existing)
    if ratio < FREE_RATIO_MIN:
        detail = f"{existing}: {ratio:.0%} of the disk is free; below {FREE_RATIO_MIN:.0%} there is no time to react"
        return failed("free space", detail, "free disk space, or use a larger disk")
    return passed("free space", f"{existing}: {ratio:.0%} of the disk is free")


def _replicas(settings: Settings) -> Check:
    """Check that SQLite has one server, on a disk of this machine."""
    if settings.database_url.get_secret_value():
        return passed("replicas", f"share {settings.database.name}; this one is {settings.replica_id}")
    remedy = "set database_url, so that replicas share a PostgreSQL database"
    if (kind := network_file_system(settings.data_dir)) is not None:
        detail = f"{settings.data_dir}: is on {kind}, where locks of SQLite do not hold"
        return failed("replicas", detail, f"{remedy}, or use a disk of this machine")
    if settings.replica_id != type(settings).model_fields["replica_id"].default:
        detail = f"replica_id is {settings.replica_id}, and each replica with SQLite has budgets and approvals apart"
        return failed("replicas", detail, f"{remedy}; or remove replica_id, if there is one server")
    return passed("replicas", "one server with SQLite: it is not available while it restarts")


def _database_role(settings: Settings) -> Check:
    from placet.storage.postgres.grants import excess_rights  # noqa: PLC0415 - the driver, where it is needed

    if rights := excess_rights(settings.database_url.get_secret_value()):
        remedy = "connect as a role that owns nothing, and run `placet db grants --apply` as the owner"
        return failed("database role", "; ".join(rights), remedy)
    return passed("database role", "appends to the trail and changes state, and can do nothing else")


def _database_tls(settings: Settings) -> Check:
    from placet.storage.connections.postgres import connection_hosts  # noqa: PLC0415 - likewise

    hosts, sslmode = connection_hosts(settings.database_url.get_secret_value())
    remote = [host for host in hosts if not host.startswith(("/", "@")) and not is_loopback(host)]
    if remote and sslmode not in _ENCRYPTED:
        detail = f"the server at {', '.join(remote)} is not verified (sslmode {sslmode or 'prefer'})"
        return failed("database tls", detail, "add sslmode=verify-full and sslrootcert=FILE to database_url")
    return passed("database tls", f"sslmode {sslmode}" if remote else "the database is on this machine")
