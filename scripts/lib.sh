# Shared by the scripts of this folder; sourced, not run.
# Everything that is downloaded lives outside the clone, so that a second run is quick.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${VMPROXY_CACHE:-${HOME:-/root}/.cache/vmproxy}"
mkdir -p "$CACHE/log"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf '\033[31merror: %s\033[0m\n' "$*" >&2; exit 1; }

# Runs a command quietly; its output goes to a log that is shown when it fails.
quietly() {
  local log="$CACHE/log/$1.log"; shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "failed: $* (whole output: $log)"
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "this needs root (or sudo): $*"; fi
}

client_python() { echo "$CACHE/venv/client/bin/python"; }
