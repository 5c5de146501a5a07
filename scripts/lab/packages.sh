#!/bin/bash
# packages.sh PROGRAM:PACKAGE... - as root, installs the Debian packages of those programs that are missing.
set -euo pipefail

missing=()
for pair; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || { echo "no apt-get here; install: ${missing[*]}" >&2; exit 1; }
rm -f /var/lib/man-db/auto-update              # else the man-db trigger can cost minutes on a busy machine
add() {
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" \
    </dev/null >/dev/null
}
add "${missing[@]}" 2>/dev/null || { apt-get update -qq && add "${missing[@]}"; } ||
  { echo "cannot install ${missing[*]}" >&2; exit 1; }
