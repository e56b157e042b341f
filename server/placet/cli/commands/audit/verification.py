"""What can be checked and exported without trusting a server: the database itself, and the key."""

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
    from placet.audit.verify_trail import PinnedCheckpoint
    from placet.server.settings import Settings
    from placet.storage.database import Database

_SIGNED: Final = ("writer", "sequence", "head", "key_id")
DatabaseFile = Annotated[
    Path | None,
    typer.Option(help="An SQLite file. Default: the database of the settings.", metavar="FILE"),
]


def verify(  # noqa: PLR0913 - one option for each source
    *,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    database: DatabaseFile = None,
    database_url: DatabaseUrl = None,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(
            help="A key to verify with, as PEM; once for each replica that has its own. "
            "Default: those in the data directory, or beside the file.",
            metavar="FILE",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoints kept elsewhere, from `placet audit checkpoint`.", metavar="FILE")
    ] = None,
    state: Annotated[
        bool,
        typer.Option(
            "--state",
            help="Replay switches, autonomy, counters, reservations, outcomes and approvals from the records as well, "
            "and compare them with the tables.",
        ),
    ] = False,
    server: Annotated[bool, typer.Option("--server", help="Have a running server check its own trail.")] = False,
    address: Address = DEFAULT_ADDRESS,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=WAIT_SECONDS_MAX,
            help="Seconds that the server may take.",
            rich_help_panel="Connection",
            callback=finite,
        ),
    ] = VERIFY_TIMEOUT_SECONDS,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check every record, chain and checkpoint, reading the database itself. Exit code 1 when something is wrong.

    Whoever can write the database and the key beside it can make a new whole trail: give --public-key and --checkpoint
    from a place where they cannot write, and that is found, too.

    Example: placet audit verify --public-key auditor/key.pem --checkpoint auditor/checkpoints.json
    """
    files = {
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
        given = [name for name, value in files.items() if value]
        if given:
            raise ConfigurationError(
                f"--server checks by the server's own key and database; leave out {', '.join(given)}"
            )
        with sdk.AuditClient(address) as client:
            report = client.verify(timeout)
    else:
        settings = open_settings(data_dir, config, database_url)
        report = _verify(settings, database, public_key or [], checkpoint, state=state)
    _show(report, output)
    raise typer.Exit(exit_codes.OK if report.ok else exit_codes.CHECK_FAILED)


def public_key(*, data_dir: DataDir = None, config: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """Print the public key that the trail is verified with, to be kept by whoever verifies.

    Example: placet audit public-key > auditor/key.pem
    """
    from placet.signing.keys import PUBLIC_NAME, load_public_key  # noqa: PLC0415 - only with a database

    found = load_public_key(open_settings(data_dir, config).keys_dir / PUBLIC_NAME)
    pem = found.pem().decode()
    if output is Output.JSON:
        print_json({"key_id": found.key_id, "pem": pem})
    else:
        typer.echo(pem, nl=False)


def checkpoint(
    *,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    database: DatabaseFile = None,
    database_url: DatabaseUrl = None,
    output: OutputOption = Output.JSON,
) -> None:
    """Print the newest signed checkpoint of each chain, to be kept where the server cannot write: keep the JSON.

    Example: placet audit checkpoint > auditor/checkpoints.json
    """
    settings = open_settings(data_dir, config, database_url)
    exported = existing(database_of(settings, database)).export_checkpoints()
    if output is Output.JSON:
        sys.stdout.write(exported.decode())
        return
    signed = [each["checkpoint"] for each in json.loads(exported)["checkpoints"]]
    print_table(_SIGNED, [[str(each[name]) for name in _SIGNED] for each in signed])


def database_of(settings: Settings, file: Path | None) -> Database:
    """The file that was named, or else the database of the settings."""
    from placet.storage.database import SqliteDatabase  # noqa: PLC0415 - only with a database

    return SqliteDatabase(file) if file is not None else settings.database


def _verify(
    settings: Settings, file: Path | None, public_keys: list[Path], kept: Path | None, *, state: bool
) -> VerifyReport:
    from placet.signing.keys import PUBLIC_NAME, PublicKeys, load_public_key, load_public_keys  # noqa: PLC0415 - likewise
    from placet.signing.pinned_checkpoints import PinnedCheckpoints, name_pinned  # noqa: PLC0415 - likewise
    from placet.storage.breaks import add_breaks  # noqa: PLC0415 - only with a database

    database = existing(database_of(settings, file))
    folder = settings.keys_dir if file is None else file.parent / settings.keys_dir.name
    keys = PublicKeys.of(*map(load_public_key, public_keys)) if public_keys else load_public_keys(folder)
    if not keys.by_id:
        wanted = folder / PUBLIC_NAME
        raise ConfigurationError(
            f"{wanted}: is not there; name a key that `placet audit public-key` printed with --public-key"
        )
    believed = [each for each in PinnedCheckpoints(folder).read() if not public_keys or each[0].key_id in keys.by_id]
    given = _read_kept(kept) if kept else []
    report = name_pinned(database.verify(keys, [*given, *believed], state=state), believed)
    return report if public_keys else add_breaks(report, database, PinnedCheckpoints(folder))


def _read_kept(path: Path) -> list[PinnedCheckpoint]:
    """The checkpoints of a file. ConfigurationError names the file when it cannot be read."""
    from placet.signing.checkpoint_files import load_pinned_checkpoints  # noqa: PLC0415 - only with a database

    try:
        return load_pinned_checkpoints(path.read_bytes())
    except OSError as error:
        remedy = "name a file that `placet audit checkpoint` printed, with --checkpoint"
        raise ConfigurationError(f"{path}: {error.strerror}; {remedy}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _show(report: VerifyReport | sdk.VerifyReport, output: Output) -> None:
    if output is Output.JSON:
        counts = {"records": report.records, "chains": report.chains, "checkpoints": report.checkpoints}
        problems = [_problem_document(each) for each in report.problems]
        print_json({"ok": report.ok, **counts, **_state_document(report), "problems": problems})
        return
    result = "ok" if report.ok else f"{len(report.problems)} problems"
    counted = f"records {report.records}, chains {report.chains}, checkpoints {report.checkpoints}"
    typer.echo(f"{result}: {counted}{_state_line(report)}")
    if report.problems:
        rows = [(each.kind, each.writer, str(each.sequence), each.detail) for each in report.problems]
        print_table(("problem", "writer", "sequence", "detail"), rows)


def _problem_document(found: AuditProblem | sdk.AuditProblem) -> dict[str, Any]:
    said = {"kind": str(found.kind), "writer": found.writer, "sequence": found.sequence, "detail": found.detail}
    state = getattr(found, "state", None)
    return {**said, **asdict(state)} if state is not None else said


def _state_of(report: VerifyReport | sdk.VerifyReport) -> StateReport | None:
    """What was compared of state: a server compares none."""
    return None if isinstance(report, sdk.VerifyReport) else report.state


def _state_document(report: VerifyReport | sdk.VerifyReport) -> dict[str, Any]:
    state = _state_of(report)
    if state is None:
        return {}
    since = [{"writer": writer, "sequence": sequence} for writer, sequence in state.since]
    counted = {"rows": state.rows, "counters": state.counters}
    return {"state": {**counted, "unproven": state.unproven, "replayed_from": since}}


def _state_line(report: VerifyReport | sdk.VerifyReport) -> str:
    state = _state_of(report)
    if state is None:
        return ""
    line = f", rows {state.rows}, counters {state.counters}"
    if not state.since:
        return line
    since = ", ".join(f"{sequence} of {writer}" for writer, sequence in state.since)
    return (
        f"{line}\n{state.unproven} of them cannot be replayed before record {since}: older records do not tell of state"
    )
