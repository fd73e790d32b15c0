#!/usr/bin/env bash
# Prints where a bundle for development is: KUBEWRIGHT_BUNDLE, or a file in the user's cache directory. An argument names another bundle
# than that of the newest Kubernetes, such as kubernetes-1.35 or kubernetes-all; KUBEWRIGHT_BUNDLE does not count then.
set -euo pipefail
if [ "$#" -eq 0 ] && [ -n "${KUBEWRIGHT_BUNDLE:-}" ]; then
	echo "$KUBEWRIGHT_BUNDLE"
	exit
fi
name="${1:-kubernetes-1.36}"
if [ -n "${XDG_CACHE_HOME:-}" ]; then
	echo "$XDG_CACHE_HOME/kubewright/bundles/$name.bundle"
else
	echo "${HOME:?set HOME, XDG_CACHE_HOME or KUBEWRIGHT_BUNDLE}/.cache/kubewright/bundles/$name.bundle"
fi
