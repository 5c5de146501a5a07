#!/bin/bash
# Runs shellcheck over every shell script of the project, found by name or first line.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v shellcheck >/dev/null; then
  [ "$(id -u)" = 0 ] || { echo "shellcheck is missing: sudo apt-get install shellcheck" >&2; exit 1; }
  bash scripts/lab/packages.sh shellcheck:shellcheck
fi

# The one-liners are templates: what is checked is what comes out.
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
for target in linux-amd64 linux-arm64; do : > "$rendered/ss-server-7.0.0-$target.tar.gz"; done
go run ./packaging/cmd/ss-release scripts --version 7.0.0 --dist "$rendered" --targets linux/amd64,linux/arm64 \
  --base-url https://downloads.test/ss --mirror https://mirror.test/ss --out "$rendered" >/dev/null

shell=() openrc=()
while IFS= read -r -d '' file; do
  first=''
  IFS= read -r first < "$file" || :
  case $first in
    '#!'*openrc-run*) openrc+=("$file");;
    '#!'*/sh | '#!'*/sh\ * | '#!'*bash*) shell+=("$file");;
  esac
done < <(find . "$rendered" -type f -not -name '*.tmpl' -not -path './.git/*' -not -path './bin/*' -not -path './dist/*' -size -200k -print0 2>/dev/null | sort -z)

shellcheck -S style "${shell[@]}"
# openrc-run is a shell of its own to shellcheck, and reads variables that nothing in the script uses.
[ ${#openrc[@]} = 0 ] || shellcheck -S style --shell=sh --exclude=SC2034 "${openrc[@]}"
echo "shellcheck: $((${#shell[@]} + ${#openrc[@]})) scripts clean"
