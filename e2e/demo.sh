#!/usr/bin/env bash
# Boots 4 container hosts without a way out, installs a highly available cluster on them and shows that it works.
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./e2e/demo
