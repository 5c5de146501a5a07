#!/bin/bash
# Runs govulncheck. Where its database cannot be reached that is said, and is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."

code=0
said=$(go tool -modfile=scripts/tools.mod govulncheck ./... 2>&1) || code=$?
case $said in
  *'fetching vulnerabilities'* | *'vuln.go.dev'*)
    # It found nothing out: "No vulnerabilities found" and findings never come with these words.
    if [[ $said != *'Vulnerability #'* && $said != *'No vulnerabilities found'* ]]; then
      echo "govulncheck: its database (https://vuln.go.dev) cannot be reached from here; nothing was checked"
      exit 0
    fi;;
esac
echo "$said"
exit "$code"
