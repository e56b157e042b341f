#!/usr/bin/env bash
# Generate requirements.lock (all dependencies) and deploy/server.lock (those of a server, in the same versions), with
# hashes and without addresses of registries. Run it with the oldest Python that Placet supports, because older versions
# of Python need more packages.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock() {
  # Without the user's own index settings, which must not appear in the file.
  env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --quiet --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe "$@" pyproject.toml
}

lock --all-build-deps --extra server --extra dev --output-file requirements.lock
lock --extra server --constraint requirements.lock --output-file deploy/server.lock
