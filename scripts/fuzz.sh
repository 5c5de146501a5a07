#!/bin/bash
# fuzz.sh TIME - runs every fuzz target of the project for TIME each (go test takes one at a time).
set -euo pipefail
cd "$(dirname "$0")/.."

count=0
while IFS=: read -r file target; do
  echo "== ${file%/*} $target"
  # Without a bound go test spends the time on making what it finds interesting smaller.
  go test -run '^$' -fuzzminimizetime 100x -fuzz "^$target\$" -fuzztime "${1:-10s}" "./${file%/*}"
  count=$((count + 1))
done < <(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' -- * | sed 's/func //')
echo "$count fuzz targets ran"
