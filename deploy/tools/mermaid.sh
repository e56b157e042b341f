#!/usr/bin/env bash
# Download Mermaid into .tools/mermaid, so that the site draws its diagrams without loading a script from the network.
# Without npm, the site shows each diagram as text.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=11.16.0
sha256=74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b
script=.tools/mermaid/mermaid.min.js

matches() { echo "$sha256  $1" | sha256sum --check --status 2>/dev/null; }

if matches "$script"; then exit 0; fi
if ! command -v npm >/dev/null; then
  echo "docs-site: npm is not installed, so diagrams are shown as text" >&2
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
npm pack --silent --pack-destination "$scratch" "mermaid@$version" >/dev/null
tar -xzf "$scratch/mermaid-$version.tgz" -C "$scratch" package/dist/mermaid.min.js
matches "$scratch/package/dist/mermaid.min.js" || {
  echo "docs-site: mermaid $version does not have the expected SHA-256" >&2
  exit 1
}
mkdir -p "$(dirname "$script")"
mv "$scratch/package/dist/mermaid.min.js" "$script"
echo "docs-site: mermaid $version in $script"
