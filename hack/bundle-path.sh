#!/usr/bin/env bash
# Prints where the bundle for development is: KUBEWRIGHT_BUNDLE, or a file in the user's cache directory.
set -euo pipefail
if [ -n "${KUBEWRIGHT_BUNDLE:-}" ]; then
	echo "$KUBEWRIGHT_BUNDLE"
elif [ -n "${XDG_CACHE_HOME:-}" ]; then
	echo "$XDG_CACHE_HOME/kubewright/bundles/kubernetes-1.36.bundle"
else
	echo "${HOME:?set HOME, XDG_CACHE_HOME or KUBEWRIGHT_BUNDLE}/.cache/kubewright/bundles/kubernetes-1.36.bundle"
fi
