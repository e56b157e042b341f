#!/usr/bin/env bash
# Generate and check the code of the protos:
#   proto.sh generate   write server/placet/v1
#   proto.sh drift      fail when server/placet/v1 differs from the generated code
#   proto.sh breaking   fail when the protos are incompatible with those of the last commit
set -euo pipefail
cd "$(dirname "$0")/../.."

generate() { # into the directory $1
  .venv/bin/python -m grpc_tools.protoc --proto_path=proto --python_out="$1" --pyi_out="$1" --grpc_python_out="$1" \
    proto/placet/v1/*.proto
}

drift() {
  local fresh
  fresh=$(mktemp -d)
  trap 'rm -rf "$fresh"' RETURN
  generate "$fresh"
  if ! diff --recursive --brief --exclude=__pycache__ --exclude=__init__.py "$fresh/placet/v1" server/placet/v1; then
    echo "server/placet/v1 differs from the code that proto/ generates. Remedy: make proto" >&2
    return 1
  fi
}

breaking() {
  local against=HEAD before
  # Without an uncommitted change, check the last commit.
  if git diff --quiet HEAD -- proto 2>/dev/null; then against=HEAD~1; fi
  if ! git cat-file -e "$against:proto/placet" 2>/dev/null; then
    echo "buf breaking: no earlier commit with protos to compare with"
    return 0
  fi
  before=$(mktemp -d)
  trap 'rm -rf "$before"' RETURN
  git archive "$against" proto | tar --extract --directory "$before"
  .venv/bin/buf breaking proto --against "$before/proto"
}

case "${1:-}" in
  generate) generate server ;;
  drift) drift ;;
  breaking) breaking ;;
  *) echo "usage: proto.sh generate|drift|breaking" >&2 && exit 2 ;;
esac
