"""`placet policy push`: publish a bundle to a folder or to a web server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
import urllib3

from placet.engine.download import TrustedPool, bearer
from placet.engine.registry import RegistryAddress, push_release
from placet.kernel.clock import rfc3339
from placet.kernel.errors import ConfigurationError, UnavailableError
from placet.matching.addresses import REGISTRY_SCHEMES, check_policy_url
from placet.policy.bundles.bundle_files import put_bundle
from placet.policy.bundles.release import read_release
from placet.policy.bundles.signatures import read_verification_keys

if TYPE_CHECKING:
    from placet.policy.bundles.release import Release

PUSH_SECONDS_MAX: Final = 60.0
_ACCEPTED: Final = range(200, 300)
_TEXT_CHARS_MAX: Final = 500


def push_command(
    file: Annotated[Path, typer.Argument(help="The bundle, written by `placet policy bundle`.", metavar="BUNDLE")],
    destination: Annotated[
        str,
        typer.Argument(
            help="A folder, the URL that the bundle is put to, or oci://registry/repository:tag.", metavar="DEST"
        ),
    ],
    *,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the bearer token for a URL, or with the password.", metavar="FILE")
    ] = None,
    user: Annotated[
        str, typer.Option(help="Your name for a registry; --token-file has the password.", metavar="NAME")
    ] = "",
    ca_file: Annotated[
        Path | None, typer.Option(help="CA certificates in PEM that sign the server's certificate.", metavar="FILE")
    ] = None,
    verification_key: Annotated[
        Path | None,
        typer.Option(help="Public keys in PEM, one of which must have signed the bundle.", metavar="FILE"),
    ] = None,
) -> None:
    """Publish a bundle: copy it to a folder in one step, put it to a web server, or push it to a registry.

    Prints the policy revision. A bundle that is damaged is not published. For a registry without --token-file, the
    credentials of `docker login` are used.

    Example: placet policy push bundle.tar.gz https://policy.example.com/bundle.tar.gz --token-file token
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}; name a bundle") from error
    keys = read_verification_keys(verification_key) if verification_key is not None else ()
    release = read_release(content, keys)
    if destination.partition(":")[0] in REGISTRY_SCHEMES:
        _push(RegistryAddress(destination, user, token_file, ca_file, docker_login=True), content, release)
    elif "://" in destination:
        _put(destination, content, token_file, TrustedPool(ca_file))
    else:
        _copy(Path(destination), file.name, content)
    typer.echo(release.revision)


def _push(address: RegistryAddress, content: bytes, release: Release) -> None:
    _check(address.url)
    annotations = {"org.opencontainers.image.version": release.revision}
    if release.git_commit:
        annotations["org.opencontainers.image.revision"] = release.git_commit
    if release.created_at_us:
        annotations["org.opencontainers.image.created"] = rfc3339(release.created_at_us)
    push_release(address, content, annotations)


def _check(url: str) -> None:
    try:
        check_policy_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="DEST") from None


def _copy(folder: Path, name: str, content: bytes) -> None:
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; create it, or name a URL")
    try:
        put_bundle(folder / name, content)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written: {error.strerror}; make it writable") from error


def _put(url: str, content: bytes, token_file: Path | None, trusted: TrustedPool) -> None:
    _check(url)
    if url.startswith("file:"):
        raise typer.BadParameter("must be a folder or an http URL", param_hint="DEST")
    headers = {"Content-Type": "application/gzip", **bearer(token_file)}
    pool = trusted.current()
    try:
        answer = pool.request("PUT", url, body=content, headers=headers, timeout=PUSH_SECONDS_MAX, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        raise UnavailableError(f"{url}: cannot be reached: {type(error).__name__}: {error}") from error
    if answer.status not in _ACCEPTED:
        text = answer.data.decode(errors="replace").strip()[:_TEXT_CHARS_MAX]
        refusal = f"answered with status {answer.status}: {text or 'no text'}"
        raise ConfigurationError(f"{url}: {refusal}; see placet policy push --help")
