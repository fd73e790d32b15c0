#!/usr/bin/env bash
# Fails when a generated file is not what `make generate` would write. Changes nothing in the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT

hack/generate.sh "$fresh"
stale=0
compare() {
	diff -u "$1" "$fresh/$1" || stale=1
}
compare api/v1alpha1/zz_generated.deepcopy.go
compare charts/kubewright/templates/_rules.tpl
while read -r file; do
	compare "$file"
done < <(
	{
		find api/crds -name '*.yaml'
		find charts/kubewright/templates/crds -type f
		(cd "$fresh" && find api/crds charts/kubewright/templates/crds -type f)
	} | sort -u
)
if [ "$stale" -ne 0 ]; then
	echo "generated files are stale (see the differences above): run 'make generate' and commit the result" >&2
	exit 1
fi
