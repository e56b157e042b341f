"""`placet audit verify`, `public-key` and `checkpoint`: verify the trail without trusting a server."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet import sdk
from placet.cli.offline import existing, open_settings
from placet.cli.options import Address, ConfigFile, DatabaseUrl, DataDir, OutputOption, finite
from placet.cli.rendering import exit_codes
from placet.cli.rendering.output import Output, print_json, print_table
from placet.kernel.errors import ConfigurationError
from placet.sdk.defaults import DEFAULT_ADDRESS, VERIFY_TIMEOUT_SECONDS, WAIT_SECONDS_MAX

if TYPE_CHECKING:
    from placet.audit.records import AuditProblem, StateReport, VerifyReport
    from placet.audit.verification.verify_trail import PinnedCheckpoint
    from placet.server.settings.model import Settings
    from placet.storage.database import Database

_CHECKPOINT_COLUMNS: Final = ("writer", "sequence", "head", "key_id")
DatabaseFile = Annotated[
    Path | None,
    typer.Option(help="SQLite file. Default: the database of the settings.", metavar="FILE"),
]


VerificationKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--public-key",
        help="Public key in PEM, once for each replica with its own key. "
        "Default: the keys in the data directory, or beside the database file.",
        metavar="FILE",
    ),
]
CheckpointFile = Annotated[
    Path | None, typer.Option(help="Checkpoints that `placet audit checkpoint` printed.", metavar="FILE")
]
CheckState = Annotated[
    bool,
    typer.Option(
        "--state",
        help="Also replay kill switches, autonomy, counters, reservations, outcomes and approvals from the records, "
        "and compare them with the tables.",
    ),
]
ByServer = Annotated[bool, typer.Option("--server", help="Let a running server verify its own trail.")]
ServerTimeout = Annotated[
    float,
    typer.Option(
        min=0.001,
        max=WAIT_SECONDS_MAX,
        help="Seconds for the server to answer.",
        metavar="SECONDS",
        rich_help_panel="Connection",
        callback=finite,
    ),
]


def verify_command(  # noqa: PLR0913 - one option for each source
    *,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    database: DatabaseFile = None,
    database_url: DatabaseUrl = None,
    public_key: VerificationKeys = None,
    checkpoint: CheckpointFile = None,
    state: CheckState = False,
    server: ByServer = False,
    address: Address = DEFAULT_ADDRESS,
    timeout: ServerTimeout = VERIFY_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Verify every record, chain and checkpoint of the database.

    Exit code 1 when there is a problem.

    Anyone who can write both the database and the keys beside it can forge a consistent trail. To detect that, store
    the public key and the checkpoints in a place with other permissions, and use --public-key and --checkpoint.

    Example: placet audit verify --public-key auditor/key.pem --checkpoint auditor/checkpoints.json
    """
    local_options = {
        "--data-dir": data_dir,
        "--config": config,
        "--database": database,
        "--database-url": database_url,
        "--public-key": public_key,
        "--checkpoint": checkpoint,
        "--state": state,
    }
    report: VerifyReport | sdk.VerifyReport
    if server:
        unused = [name for name, value in local_options.items() if value]
        if unused:
            raise ConfigurationError(f"--server uses the key and the database of the server; omit {', '.join(unused)}")
        with sdk.AuditClient(address) as client:
            report = client.verify(timeout)
    else:
        settings = open_settings(data_dir, config, database_url)
        report = _verify(settings, database, public_key or [], checkpoint, state=state)
    _show(report, output)
    raise typer.Exit(exit_codes.OK if report.ok else exit_codes.CHECK_FAILED)


def public_key_command(
    *, data_dir: DataDir = None, config: ConfigFile = None, output: OutputOption = Output.TABLE
) -> None:
    """Print the public key that verifies the trail.

    Store it where the auditor works.

    Example: placet audit public-key > auditor/key.pem
    """
    from placet.signing.keys import PUBLIC_NAME, load_public_key  # noqa: PLC0415 - only with a database

    public_key = load_public_key(open_settings(data_dir, config).keys_dir / PUBLIC_NAME)
    pem = public_key.pem().decode()
    if output is Output.JSON:
        print_json({"key_id": public_key.key_id, "pem": pem})
    else:
        typer.echo(pem, nl=False)


def checkpoint_command(
    *,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    database: DatabaseFile = None,
    database_url: DatabaseUrl = None,
    output: OutputOption = Output.JSON,
) -> None:
    """Print the newest signed checkpoint of each chain.

    Store the JSON where the server cannot write.

    Example: placet audit checkpoint > auditor/checkpoints.json
    """
    settings = open_settings(data_dir, config, database_url)
    exported = existing(database_of(settings, database)).export_checkpoints()
    if output is Output.JSON:
        sys.stdout.write(exported.decode())
        return
    checkpoints = [entry["checkpoint"] for entry in json.loads(exported)["checkpoints"]]
    rows = [[str(checkpoint[name]) for name in _CHECKPOINT_COLUMNS] for checkpoint in checkpoints]
    print_table(_CHECKPOINT_COLUMNS, rows)


def database_of(settings: Settings, file: Path | None) -> Database:
    """Return the SQLite file, by default the database of the settings."""
    from placet.storage.database import SqliteDatabase  # noqa: PLC0415 - only with a database

    return SqliteDatabase(file) if file is not None else settings.database


def _verify(
    settings: Settings, file: Path | None, public_keys: list[Path], checkpoint_file: Path | None, *, state: bool
) -> VerifyReport:
    from placet.signing.keys import PUBLIC_NAME, PublicKeys, load_public_key, load_public_keys  # noqa: PLC0415 - likewise
    from placet.signing.pinned_checkpoints import PinnedCheckpoints, name_pinned  # noqa: PLC0415 - likewise
    from placet.storage.breaks import add_breaks  # noqa: PLC0415 - only with a database

    database = existing(database_of(settings, file))
    folder = settings.keys_dir if file is None else file.parent / settings.keys_dir.name
    keys = PublicKeys.of(*map(load_public_key, public_keys)) if public_keys else load_public_keys(folder)
    if not keys.by_id:
        remedy = "use --public-key with a key that `placet audit public-key` printed"
        raise ConfigurationError(f"{folder / PUBLIC_NAME}: there is no such file; {remedy}")
    pinned = [pin for pin in PinnedCheckpoints(folder).read() if not public_keys or pin[0].key_id in keys.by_id]
    stored = _read_checkpoints(checkpoint_file) if checkpoint_file else []
    report = name_pinned(database.verify(keys, [*stored, *pinned], state=state), pinned)
    return report if public_keys else add_breaks(report, database, PinnedCheckpoints(folder))


def _read_checkpoints(path: Path) -> list[PinnedCheckpoint]:
    """Read a file of checkpoints. ConfigurationError when it cannot be read."""
    from placet.signing.checkpoint_files import load_pinned_checkpoints  # noqa: PLC0415 - only with a database

    try:
        return load_pinned_checkpoints(path.read_bytes())
    except OSError as error:
        remedy = "use --checkpoint with a file that `placet audit checkpoint` printed"
        raise ConfigurationError(f"{path}: {error.strerror}; {remedy}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _show(report: VerifyReport | sdk.VerifyReport, output: Output) -> None:
    if output is Output.JSON:
        counts = {"records": report.records, "chains": report.chains, "checkpoints": report.checkpoints}
        problems = [_problem_document(problem) for problem in report.problems]
        print_json({"ok": report.ok, **counts, **_state_document(report), "problems": problems})
        return
    count = len(report.problems)
    result = "ok" if report.ok else f"{count} problem{'s' if count > 1 else ''}"
    counts_text = f"records {report.records}, chains {report.chains}, checkpoints {report.checkpoints}"
    typer.echo(f"{result}: {counts_text}{_state_text(report)}")
    if report.problems:
        rows = [(problem.kind, problem.writer, str(problem.sequence), problem.detail) for problem in report.problems]
        print_table(("problem", "writer", "sequence", "detail"), rows)


def _problem_document(problem: AuditProblem | sdk.AuditProblem) -> dict[str, Any]:
    document = {
        "kind": str(problem.kind),
        "writer": problem.writer,
        "sequence": problem.sequence,
        "detail": problem.detail,
    }
    state = getattr(problem, "state", None)
    return {**document, **asdict(state)} if state is not None else document


def _state_of(report: VerifyReport | sdk.VerifyReport) -> StateReport | None:
    """Return the comparison of state; None for a report of a server, which compares none."""
    return None if isinstance(report, sdk.VerifyReport) else report.state


def _state_document(report: VerifyReport | sdk.VerifyReport) -> dict[str, Any]:
    state = _state_of(report)
    if state is None:
        return {}
    replayed_from = [{"writer": writer, "sequence": sequence} for writer, sequence in state.since]
    counts = {"rows": state.rows, "counters": state.counters}
    return {"state": {**counts, "unproven": state.unproven, "replayed_from": replayed_from}}


def _state_text(report: VerifyReport | sdk.VerifyReport) -> str:
    state = _state_of(report)
    if state is None:
        return ""
    line = f", rows {state.rows}, counters {state.counters}"
    if not state.since:
        return line
    first = ", ".join(f"{sequence} of {writer}" for writer, sequence in state.since)
    return f"{line}\n{state.unproven} of them cannot be replayed before record {first}: older records have no state"
