#!/usr/bin/env bash
# Measures what `kubewright up` does to a running cluster against hand-scripted kubeadm. Arguments go to e2e/bench, e.g. -first kubewright.
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./e2e/bench -what lifecycle "$@"
