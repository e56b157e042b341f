"""`placet policy bundle`: write the bundle of a policy folder, signed and ready to be distributed."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from placet.cli.commands.policy.folder_options import OpaPath, RegoDir, chosen_policy
from placet.cli.options import ConfigFile  # noqa: TC001 - typer reads it
from placet.kernel.errors import ConfigurationError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.bundles.release import make_release
from placet.policy.bundles.signatures import DEFAULT_KEY_ID, read_signing_key
from placet.policy.files.git_commit import git_commit

SOURCE_DATE_EPOCH: Final = "SOURCE_DATE_EPOCH"
"""The variable that sets the time of reproducible builds, in seconds since the epoch."""


def bundle_command(
    file: Annotated[Path, typer.Argument(help="The bundle to write, e.g. bundle.tar.gz.", metavar="FILE")],
    *,
    signing_key: Annotated[
        Path | None,
        typer.Option(help="Private key that signs the bundle, in PEM: P-256 or Ed25519.", metavar="FILE"),
    ] = None,
    key_id: Annotated[
        str, typer.Option(help="Name by which an external OPA knows the key.", metavar="ID")
    ] = DEFAULT_KEY_ID,
    created_at: Annotated[
        str,
        typer.Option(
            help="When the bundle was created, e.g. 2026-01-31T12:00:00Z. Servers refuse a bundle that is older than "
            "the served one. Default: the variable SOURCE_DATE_EPOCH, else now for a signed bundle, else none.",
            metavar="TIME",
            show_default=False,
        ),
    ] = "",
    rego_dir: RegoDir = None,
    opa: OpaPath = None,
    config: ConfigFile = None,
) -> None:
    """Check policy and write its bundle, for `policy_url` or an external OPA.

    Prints the policy revision. The same folder, key and time give the same bytes.

    Example: placet policy bundle bundle.tar.gz --rego-dir ./rego --signing-key policy-key.pem
    """
    key = read_signing_key(signing_key) if signing_key is not None else None
    created_at_seconds = _seconds(created_at, signed=key is not None)
    folder, engine = chosen_policy(rego_dir, opa, config)
    with tempfile.TemporaryDirectory(prefix="placet-bundle-") as cache:
        bundle = build_bundle(folder, engine, Path(cache))
    release = make_release(bundle, git_commit(folder), created_at_seconds, key, key_id)
    try:
        file.write_bytes(release)
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be written: {error.strerror}; name another file") from error
    typer.echo(bundle.revision)


def _seconds(created_at: str, *, signed: bool) -> int:
    """Return when the bundle is said to be created, in seconds since the epoch; 0 for an unsigned one without time."""
    if created_at:
        try:
            time_given = datetime.fromisoformat(created_at)
        except ValueError:
            time_given = None
        if time_given is None or time_given.tzinfo is None:
            raise typer.BadParameter(
                "must be a time with its zone, e.g. 2026-01-31T12:00:00Z", param_hint="--created-at"
            )
        return int(time_given.timestamp())
    text = os.environ.get(SOURCE_DATE_EPOCH, "")
    if text and not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{SOURCE_DATE_EPOCH}: must be whole seconds since the epoch; correct or unset it")
    return int(text) if text else int(time.time()) * signed
