#!/usr/bin/env bash
# Writes requirements.lock (everything) and deploy/server.lock (what a server needs, the same versions), with hashes
# and without any registry's address. Run it with the oldest Python that Placet supports: that one needs the most.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock() {
  # Nothing of the person's own index settings may reach the file.
  env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --quiet --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe "$@" pyproject.toml
}

lock --all-build-deps --extra server --extra dev --output-file requirements.lock
lock --extra server --constraint requirements.lock --output-file deploy/server.lock
