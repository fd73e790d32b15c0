#!/usr/bin/env bash
# Measures `kubewright up` against hand-scripted kubeadm on container hosts. Arguments go to e2e/bench, e.g. -first kubewright.
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./e2e/bench "$@"
