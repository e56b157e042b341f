"""What `placet doctor` looks at. Each check says what it found and, when that will not do, the remedy."""

from __future__ import annotations

import os
import platform
import socket
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from placet import sdk
from placet.cli.doctor.running_server import (
    Check,
    disk_check,
    external_opa_check,
    failed,
    not_checked,
    passed,
    server_checks,
)
from placet.kernel.errors import ConfigurationError, PolicyInvalidError
from placet.matching.addresses import split_address
from placet.policy.bundles.bundle import build_bundle
from placet.policy.files.tenant_files import load_agent_policies
from placet.policy.toolchain.binary import find_opa
from placet.signing.keys import PRIVATE_NAME, PUBLIC_NAME, load_public_key, load_signing_key
from placet.signing.pinned_checkpoints import PinnedCheckpoints
from placet.storage.breaks import look_for_breaks, require_its_trail
from placet.storage.database import require_its_key
from placet.storage.migrate import SchemaState, db_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from placet.server.settings import Settings

PYTHON_MIN: Final = (3, 11)
PYTHON_END: Final = (3, 14)
_MADE: Final = "made at the first start"


def run_checks(settings: Settings, address: str | None) -> Iterator[Check]:
    """Every check; `address` is that of a server that must be running.

    What a failure elsewhere makes untrue is not told as being well.
    """
    yield _python()
    opa = _guarded("opa", lambda: _opa(settings))
    policies = _guarded("policies", lambda: _policies(settings))
    folder = _data_dir(settings.data_dir)
    room = _guarded("disk space", lambda: disk_check(settings.data_dir))
    database = _made_if(_guarded("database", lambda: _database(settings)), folder, room)
    yield opa
    yield _resting_on(policies, opa)
    yield folder
    yield room
    yield _made_if(_guarded("signing key", lambda: _signing_key(settings)), folder, room)
    yield database
    yield _resting_on(_guarded("trail", lambda: _trail(settings)), database)
    yield from _server(address) if address else _listen(settings)


def _resting_on(check: Check, other: Check) -> Check:
    """The check; not checked where it would pass and the other one, which it needs, fails."""
    return not_checked(check.name, other.name) if check.ok and not other.ok else check


def _made_if(check: Check, *others: Check) -> Check:
    """The check; not checked where something is still to be made and one of the others fails."""
    failing = next((each for each in others if not each.ok), None)
    still_to_make = check.ok and check.detail.endswith(_MADE)
    return not_checked(check.name, failing.name) if failing is not None and still_to_make else check


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except (ConfigurationError, PolicyInvalidError, OSError) as error:
        return failed(name, "; ".join(str(error).splitlines()))


def _python() -> Check:
    version = platform.python_version()
    if PYTHON_MIN <= sys.version_info[:2] < PYTHON_END:
        return passed("python", version)
    return failed("python", version, "run Placet with Python 3.11 to 3.13")


def _opa(settings: Settings) -> Check:
    if not settings.opa_address:
        opa = find_opa(settings.opa_path)
        return passed("opa", f"{opa.version} at {opa.path}, SHA-256 {opa.sha256}")
    try:
        agent_policies = load_agent_policies(settings.rego_dir)
    except PolicyInvalidError:  # the next check says why
        agent_policies = {}
    return external_opa_check(settings, agent_policies)


def _policies(settings: Settings) -> Check:
    """As the start reads them: with a managed OPA the bundle is built, beside nothing that is kept."""
    rego_dir = settings.rego_dir
    settings.require_rego_dir()
    tenants = ", ".join(sorted(load_agent_policies(rego_dir)))
    if settings.opa_address:
        return passed("policies", f"{rego_dir}: tenants {tenants}; the rules are those of the external OPA")
    try:
        opa = find_opa(settings.opa_path)
    except ConfigurationError:
        return passed("policies", f"{rego_dir}: tenants {tenants}; without OPA the rules are not checked")
    with tempfile.TemporaryDirectory(prefix="placet-doctor-") as folder:
        revision = build_bundle(rego_dir, opa.path, Path(folder)).revision
    return passed("policies", f"{rego_dir}: tenants {tenants}; revision {revision} passes every check")


def _data_dir(data_dir: Path) -> Check:
    existing = next(each for each in (data_dir, *data_dir.absolute().parents) if each.exists())
    if not existing.is_dir():
        return failed("data directory", f"{existing}: is no directory", "name another with --data-dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        return failed("data directory", f"{existing}: cannot be written", "let Placet's user own it")
    return passed("data directory", f"{data_dir}" if existing == data_dir else f"{data_dir}: {_MADE}")


def _signing_key(settings: Settings) -> Check:
    """As the start reads it: the key that signed what is in the database, and nobody else's to read."""
    private, public = settings.keys_dir / PRIVATE_NAME, settings.keys_dir / PUBLIC_NAME
    if not private.exists():
        require_its_key(settings.database, settings.replica_id, settings.keys_dir)
        return passed("signing key", _MADE)
    mode = stat.S_IMODE(private.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return failed("signing key", f"{private}: others can use it (mode {mode:04o})", f"chmod 600 {private}")
    if not os.access(private, os.R_OK):
        return failed("signing key", f"{private}: cannot be read", "let Placet's user own it")
    key_id = load_signing_key(private).key_id
    if public.exists() and (other := load_public_key(public).key_id) != key_id:
        return failed("signing key", f"{public}: is of another key, {other}", f"restore it, or remove {public}")
    signed = settings.database.key_ids(settings.replica_id).get(settings.replica_id, key_id)
    if signed != key_id:
        remedy = "restore that key, or move the database aside and run `placet db new-trail`"
        detail = f"key {key_id}, but the checkpoints of {settings.database.name} are signed with the key {signed}"
        return failed("signing key", detail, remedy)
    return passed("signing key", f"key {key_id}, readable by its owner alone")


def _trail(settings: Settings) -> Check:
    """As the start looks: what was signed must be there."""
    pinned = PinnedCheckpoints(settings.keys_dir)
    require_its_trail(settings.database, settings.replica_id, pinned)
    newest = {checkpoint.writer: checkpoint.sequence for checkpoint, _ in pinned.read()}
    if settings.replica_id not in newest:
        none = settings.database.find_trail((), ()).empty
        return passed("trail", "begins at the first start" if none else "no checkpoint is pinned yet")
    return passed("trail", f"the database holds the newest checkpoint, at record {newest[settings.replica_id]}")


def _database(settings: Settings) -> Check:
    chosen = settings.database
    database = chosen.name
    chosen.require_fit()
    status = db_status(chosen.url)
    if status.state is SchemaState.EMPTY:
        if look_for_breaks(chosen, settings.replica_id, PinnedCheckpoints(settings.keys_dir)):
            detail = f"{database}: is missing or empty, and {settings.keys_dir} was used with a database"
            return failed("database", detail, "see the trail")
        return passed("database", f"{database}: {_MADE}")
    if status.state is SchemaState.CURRENT:
        return passed("database", f"{database}: schema {status.revision}")
    if status.state is SchemaState.DAMAGED:
        remedy = "run `placet audit verify` and restore a backup; or move it aside and run `placet db new-trail`"
        return failed("database", f"{database}: is damaged, it has no table {', '.join(status.missing)}", remedy)
    detail = f"{database}: schema {status.revision or 'none'} is {status.state}; {status.wanted} is needed"
    remedy = "run a newer Placet" if status.state is SchemaState.NEWER else "stop Placet, run `placet db upgrade`"
    return failed("database", detail, remedy)


def _listen(settings: Settings) -> Sequence[Check]:
    """Free, or taken: by a Placet, which says how it is, or by something else."""
    listen = settings.listen
    host, port = split_address(listen)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        try:
            return tuple(server_checks(listen))
        except sdk.CallFailedError as silent:
            if pid := _own_pid(settings.data_dir, port):
                detail = f"{listen}: runs as process {pid} and does not answer: {silent.failure}"
                return (failed("server", detail, "see the server's log"),)
        remedy = "stop what listens there, or name another with --listen"
        return (failed("listen", f"{listen}: {error.strerror}", remedy),)
    return (passed("listen", f"{listen}: free, no server is running"),)


def _own_pid(data_dir: Path, port: int) -> int | None:
    """The process that serves this data directory on the port; None when none does."""
    try:
        said = orjson.loads((data_dir / "serve.json").read_bytes())
        pid = int(said["pid"])
        serves = split_address(said["address"])[1] == port
        return pid if serves and Path(f"/proc/{pid}").exists() else None
    except (OSError, ValueError, TypeError, KeyError):  # no server, or not yet
        return None


def _server(address: str) -> Sequence[Check]:
    try:
        return tuple(server_checks(address))
    except sdk.CallFailedError as error:
        return (failed("server", f"{address}: {error.failure}", "start it with `placet serve`, or correct --address"),)
