"""The checks of `placet doctor`, in order."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from placet import sdk
from placet.cli.doctor.check import Check, failed, not_checked, passed
from placet.cli.doctor.own_server import own_pid, worker_checks
from placet.cli.doctor.permit_keys import permit_key_checks
from placet.cli.doctor.published_policy import published_check, published_release
from placet.cli.doctor.running_server import disk_check, external_opa_check, server_checks
from placet.kernel.errors import ConfigurationError, PolicyInvalidError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.files.tenant_files import load_agent_policies
from placet.policy.toolchain.binary import find_opa
from placet.signing.keys import PRIVATE_NAME, PUBLIC_NAME, load_public_key, load_signing_key
from placet.signing.pinned_checkpoints import PinnedCheckpoints
from placet.storage.breaks import look_for_breaks, require_its_trail
from placet.storage.database import require_its_key
from placet.storage.migrate import SchemaState, db_status
from placet.transport.grpc.server import require_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from placet.policy.bundles.release import Release
    from placet.server.settings.model import Settings
    from placet.tenants.policy import TenantPolicy

PYTHON_MIN: Final = (3, 11)
PYTHON_END: Final = (3, 14)
_CREATED_LATER: Final = "created at the first start"


def run_checks(settings: Settings, address: str | None) -> Iterator[Check]:
    """Yield every check. `address` is that of a server that must run.

    A check that depends on one that fails is reported as not checked.
    """
    yield _python()
    release = functools.cache(functools.partial(published_release, settings))  # downloaded once, for both checks
    opa = _guarded("opa", lambda: _opa(settings, release))
    policies = _guarded("policies", lambda: _policies(settings, release))
    folder = _data_dir(settings.data_dir)
    disk = _guarded("disk space", lambda: disk_check(settings.data_dir))
    database = _creatable(_guarded("database", lambda: _database(settings)), folder, disk)
    yield opa
    yield _requiring(policies, opa)
    yield folder
    yield disk
    yield _creatable(_guarded("signing key", lambda: _signing_key(settings)), folder, disk)
    yield from permit_key_checks(settings)
    yield database
    yield _requiring(_guarded("trail", lambda: _trail(settings)), database)
    yield from _server(settings, address) if address else _listen(settings)


def _requiring(check: Check, required: Check) -> Check:
    """Return the check, or "not checked" when it passed but the required one failed."""
    return not_checked(check.name, required.name) if check.ok and not required.ok else check


def _creatable(check: Check, *required: Check) -> Check:
    """Return the check, or "not checked" for a missing thing that cannot be created because a required check failed."""
    failing = next((other for other in required if not other.ok), None)
    return not_checked(check.name, failing.name) if failing is not None and check.missing else check


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


def _opa(settings: Settings, release: Callable[[], Release]) -> Check:
    if not settings.opa_address:
        opa = find_opa(settings.opa_path)
        return passed("opa", f"{opa.version} at {opa.path}, SHA-256 {opa.sha256}")
    agent_policies: Mapping[str, TenantPolicy] = {}
    revision = settings.opa_required_revision
    with contextlib.suppress(ConfigurationError, PolicyInvalidError):  # the next check reports it
        if settings.policy_url:
            revision = release().revision
        else:
            agent_policies = load_agent_policies(settings.rego_dir)
    return external_opa_check(settings, agent_policies, revision)


def _policies(settings: Settings, release: Callable[[], Release]) -> Check:
    """Load the policies as the server does. With a managed OPA, build the bundle in a temporary directory."""
    if settings.policy_url:
        return published_check(settings.policy_url, release())
    rego_dir = settings.rego_dir
    settings.require_rego_dir()
    tenants = ", ".join(sorted(load_agent_policies(rego_dir)))
    if settings.opa_address:
        return passed("policies", f"{rego_dir}: tenants {tenants}; the external OPA has the rules")
    try:
        opa = find_opa(settings.opa_path)
    except ConfigurationError:
        return passed("policies", f"{rego_dir}: tenants {tenants}; without OPA the rules are not checked")
    with tempfile.TemporaryDirectory(prefix="placet-doctor-") as folder:
        revision = build_bundle(rego_dir, opa.path, Path(folder)).revision
    return passed("policies", f"{rego_dir}: tenants {tenants}; revision {revision} passes every check")


def _data_dir(data_dir: Path) -> Check:
    existing = next(path for path in (data_dir, *data_dir.absolute().parents) if path.exists())
    if not existing.is_dir():
        return failed("data directory", f"{existing}: is not a directory", "name another one with --data-dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        return failed("data directory", f"{existing}: is not writable", "make it writable for Placet's user")
    if existing != data_dir:
        return passed("data directory", f"{data_dir}: {_CREATED_LATER}")
    return passed("data directory", str(data_dir))


def _signing_key(settings: Settings) -> Check:
    """Load the key as the server does. It must be the one that signed the database, and private to its owner."""
    private, public = settings.keys_dir / PRIVATE_NAME, settings.keys_dir / PUBLIC_NAME
    if not private.exists():
        require_its_key(settings.database, settings.replica_id, settings.keys_dir)
        return passed("signing key", _CREATED_LATER, missing=True)
    mode = stat.S_IMODE(private.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return failed(
            "signing key", f"{private}: other users can read or write it (mode {mode:04o})", f"chmod 600 {private}"
        )
    if not os.access(private, os.R_OK):
        return failed("signing key", f"{private}: is not readable", "make it readable for Placet's user")
    key_id = load_signing_key(private).key_id
    if public.exists() and (other := load_public_key(public).key_id) != key_id:
        return failed(
            "signing key", f"{public}: belongs to another key, {other}", f"restore the file, or remove {public}"
        )
    signed = settings.database.key_ids(settings.replica_id).get(settings.replica_id, key_id)
    if signed != key_id:
        remedy = "restore that key, or move the database aside and run `placet db new-trail`"
        detail = f"key {key_id}, but the checkpoints of {settings.database.name} are signed with the key {signed}"
        return failed("signing key", detail, remedy)
    return passed("signing key", f"key {key_id}, readable only by its owner")


def _trail(settings: Settings) -> Check:
    """Check as the server does that no signed record is missing."""
    pinned = PinnedCheckpoints(settings.keys_dir)
    require_its_trail(settings.database, settings.replica_id, pinned)
    newest = {checkpoint.writer: checkpoint.sequence for checkpoint, _ in pinned.read()}
    if settings.replica_id not in newest:
        empty = settings.database.find_trail((), ()).empty
        return passed("trail", "begins at the first start" if empty else "no checkpoint is pinned yet")
    return passed("trail", f"the database has the newest checkpoint, at record {newest[settings.replica_id]}")


def _database(settings: Settings) -> Check:
    database = settings.database
    name = database.name
    database.require_fit()
    status = db_status(database.url)
    if status.state is SchemaState.EMPTY:
        if look_for_breaks(database, settings.replica_id, PinnedCheckpoints(settings.keys_dir)):
            detail = f"{name}: is missing or empty, but {settings.keys_dir} was used with a database"
            return failed("database", detail, "see the check of the trail")
        return passed("database", f"{name}: {_CREATED_LATER}", missing=True)
    if status.state is SchemaState.CURRENT:
        return passed("database", f"{name}: schema {status.revision}")
    if status.state is SchemaState.DAMAGED:
        remedy = "run `placet audit verify` and restore a backup; or move it aside and run `placet db new-trail`"
        return failed("database", f"{name}: is damaged, it has no table {', '.join(status.missing)}", remedy)
    detail = f"{name}: schema {status.revision or 'none'} is {status.state}; this version needs {status.expected}"
    remedy = "run a newer Placet" if status.state is SchemaState.NEWER else "stop Placet, run `placet db upgrade`"
    return failed("database", detail, remedy)


def _listen(settings: Settings) -> Sequence[Check]:
    """Check that the port is free, or check the server that listens on it."""
    listen = settings.listen
    try:
        require_free(listen)
    except ConfigurationError as error:
        try:
            return (*server_checks(listen), *worker_checks(settings.data_dir, listen))
        except sdk.CallFailedError as call_error:
            if pid := own_pid(settings.data_dir, listen):
                detail = f"{listen}: runs as process {pid} and does not answer: {call_error.failure}"
                return (failed("server", detail, "see the server's log"),)
        what, _, remedy = str(error).partition("; ")
        return (failed("listen", what, remedy),)
    return (passed("listen", f"{listen}: free; no server runs here"),)


def _server(settings: Settings, address: str) -> Sequence[Check]:
    try:
        return (*server_checks(address), *worker_checks(settings.data_dir, address))
    except sdk.CallFailedError as error:
        return (
            failed(
                "server", f"{address}: {error.failure}", "start the server with `placet serve`, or correct --address"
            ),
        )
