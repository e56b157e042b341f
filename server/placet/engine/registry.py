"""Releases in a registry of OCI images, as an artefact that OPA pulls too: one layer, which is the bundle.

The library `oras` speaks to the registry. It is an extra, ``placet[oci]``, because servers and publishers that use web
servers or folders need neither it nor what it depends on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from placet.engine.download import (
    CHUNK_BYTES,
    CONNECT_SECONDS_MAX,
    DOWNLOAD_SECONDS_MAX,
    READ_SECONDS_MAX,
    Download,
    DownloadError,
    TrustedPool,
    body_of,
    read_token,
)
from placet.kernel.errors import ConfigurationError, UnavailableError
from placet.policy.bundles.release import RELEASE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests
    from oras.container import Container
    from oras.provider import Registry

LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_BYTES_MAX: Final = 1024 * 1024
_OK: Final = 200
_TEXT_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """Where an artefact is: ``oci://registry.example.com/team/policy:prod``. Without a tag it is ``latest``."""

    url: str
    user: str = ""  # name for the registry; "" sends what the file holds as a bearer token
    token_file: Path | None = None  # has the user's password, or a bearer token
    ca_file: Path | None = None  # has the CAs that sign the registry's certificate; None: those of the system
    docker_login: bool = False  # whether the credentials of `docker login` are used when there is no token file

    @property
    def reference(self) -> str:
        """The registry, the repository and the tag."""
        parts = urlsplit(self.url)
        return f"{parts.netloc}{parts.path}"


def push_release(address: RegistryAddress, content: bytes, annotations: Mapping[str, str]) -> None:
    """Upload a release as an artefact, then let the tag name it. The same release gives the same artefact.

    Raises ConfigurationError when the registry refuses it, and UnavailableError when it cannot be reached. Blocks.
    """
    with tempfile.TemporaryDirectory(prefix="placet-push-") as folder, _failures(address.url):
        bundle, config = Path(folder, "bundle.tar.gz"), Path(folder, "config.json")
        bundle.write_bytes(content)
        config.write_text("{}")
        _registry(address).push(
            address.reference,
            files=[f"{bundle}:{LAYER_TYPE}"],
            manifest_config=f"{config}:{CONFIG_TYPE}",
            manifest_annotations=dict(annotations),
            disable_path_validation=True,
            quiet=True,
        )


class RegistryReleases:
    """Releases under a tag of a registry. The registry never waits for a change."""

    def __init__(self, address: RegistryAddress) -> None:
        self._address = address
        self._registry: Registry | None = None

    def get(self, tag: str, wait_seconds: float) -> Download:
        """Return the newest release, or that it is still the one with the tag, see `Releases`."""
        del wait_seconds
        registry, self._registry = self._registry, None
        try:
            registry = registry or _registry(self._address)
            container = registry.get_container(self._address.reference)
            manifest = _manifest(registry, container)
            digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
            content = None if digest == tag else _layer(registry, container, manifest)
        except (OSError, ValueError) as error:  # those of requests are OSErrors; the library raises ValueError
            raise DownloadError(f"cannot be read: {type(error).__name__}: {_line(error)}") from error
        self._registry = registry  # after a failure the credentials are read again
        return Download(content, digest, waits=False)


def _manifest(registry: Registry, container: Container) -> bytes:
    url = f"{registry.prefix}://{container.manifest_url()}"
    return _body(_answer(registry, url, {"Accept": MANIFEST_TYPE}), MANIFEST_BYTES_MAX)


def _layer(registry: Registry, container: Container, manifest: bytes) -> bytes:
    """Return the first layer that is a tar.gz, as OPA takes it. Raises DownloadError unless it has its digest."""
    try:
        layers = [layer for layer in json.loads(manifest)["layers"] if layer["mediaType"] == LAYER_TYPE]
        digest = str(layers[0]["digest"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise DownloadError(f"cannot be read: the artefact has no layer of the type {LAYER_TYPE}") from None
    url = f"{registry.prefix}://{container.get_blob_url(digest)}"
    content = _body(_answer(registry, url, {}), RELEASE_BYTES_MAX)
    if digest != f"sha256:{hashlib.sha256(content).hexdigest()}":
        raise DownloadError("cannot be read: the layer does not have the digest that the artefact names")
    return content


def _answer(registry: Registry, url: str, headers: dict[str, str]) -> requests.Response:
    answer: requests.Response = registry.do_request(url, "GET", headers=headers, stream=True)
    if answer.status_code != _OK:
        answer.close()
        raise DownloadError(f"cannot be read: the registry answered with status {answer.status_code}")
    return answer


def _body(answer: requests.Response, bytes_max: int) -> bytes:
    """Return the body of an answer. Raises DownloadError when it is too large or takes too long."""
    deadline = time.monotonic() + DOWNLOAD_SECONDS_MAX
    with answer:
        return body_of(answer.iter_content(CHUNK_BYTES), bytes_max, deadline)


def _registry(address: RegistryAddress) -> Registry:
    """Return a connection to the registry, which does not retry, and which the environment has no influence on."""
    try:
        from oras.auth import get_auth_backend  # noqa: PLC0415 - an extra
        from oras.provider import Registry  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ConfigurationError(
            f"{address.url}: registries need a library that is not installed; install it with "
            "`pip install 'placet[oci]'`"
        ) from error

    class OnceRegistry(Registry):  # type: ignore[misc] # publishes no types
        """Tries each request once: the library waits up to two minutes between tries."""

        def do_request(self, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401 - passed on
            answer: requests.Response = Registry.do_request.__wrapped__(self, *args, **kwargs)
            return answer

    parts, trusted = urlsplit(address.url), _trusted(address.ca_file)
    insecure = parts.scheme == "oci+http"
    registry = OnceRegistry(parts.netloc, insecure=insecure, tls_verify=trusted)
    registry.session.trust_env = False
    registry.session.request = partial(registry.session.request, timeout=(CONNECT_SECONDS_MAX, READ_SECONDS_MAX))
    if _asks_for_password(registry):
        if not address.user and not address.docker_login:
            raise ConfigurationError(f"{address.url}: needs a user and a password; see --user and policy_registry_user")
        registry.auth = get_auth_backend("basic", registry.session, insecure, tls_verify=trusted)
    if address.token_file is not None:
        secret = read_token(address.token_file)
        if address.user:
            registry.auth.set_basic_auth(address.user, secret)
        else:
            registry.auth.set_token_auth(secret)
    if address.token_file is not None or not address.docker_login:
        registry.auth.load_configs = lambda *_args, **_options: None
    return registry


def _asks_for_password(registry: Registry) -> bool:
    """Return whether the registry takes user and password with each request, and not a token that it gives for them."""
    answer: requests.Response = registry.session.request(
        "GET",
        f"{registry.prefix}://{registry.hostname}/v2/",
        verify=registry._tls_verify,  # noqa: SLF001 - its own way
    )
    return answer.headers.get("WWW-Authenticate", "").lower().startswith("basic")


def _trusted(ca_file: Path | None) -> str | bool:
    """Return what `requests` takes for the CAs: it would trust its own list, and not that of the system."""
    if ca_file is not None:
        TrustedPool(ca_file).current()  # raises when the file cannot be used
        return str(ca_file)
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True


@contextlib.contextmanager
def _failures(url: str) -> Iterator[None]:
    """Raise ConfigurationError for what the registry refuses, and UnavailableError when it cannot be reached."""
    try:
        yield
    except (OSError, ValueError, AttributeError) as error:
        # Those of requests are OSErrors. The library raises ValueError, and AttributeError without a password.
        text = f"{type(error).__name__}: {_line(error)}"
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise UnavailableError(f"{url}: cannot be reached: {text}") from error
        raise ConfigurationError(f"{url}: was refused: {text}; see --user, --token-file and `docker login`") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_TEXT_CHARS_MAX]
