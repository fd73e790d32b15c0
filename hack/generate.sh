#!/usr/bin/env bash
# Writes everything that is generated: from api/v1alpha1 deepcopy functions, CRDs, and the CRDs as templates of the chart; from the
# markers in controllers the rules of the chart's ClusterRoles.
# usage: hack/generate.sh [DIRECTORY]   DIRECTORY stands in for the repository as the place to write to.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-$PWD}"

# Written aside first, so that a failure leaves what is there.
fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT
go tool -modfile=tools/go.mod controller-gen \
	object crd paths=./api/v1alpha1 \
	output:object:dir="$fresh/object" output:crd:dir="$fresh/crds"
go run ./hack/chartcrds -from "$fresh/crds" -to "$fresh/templates"
go tool -modfile=tools/go.mod controller-gen rbac:roleName=manager paths=./controllers/... output:rbac:dir="$fresh/rbac"
go run ./hack/chartrules <"$fresh/rbac/role.yaml" >"$fresh/_rules.tpl"

mkdir -p "$out/api/v1alpha1" "$out/api/crds" "$out/charts/kubewright/templates/crds"
rm -f "$out"/api/crds/*.yaml "$out"/charts/kubewright/templates/crds/*.yaml
cp "$fresh"/object/zz_generated.deepcopy.go "$out/api/v1alpha1/"
cp "$fresh"/crds/*.yaml "$out/api/crds/"
cp "$fresh"/_rules.tpl "$out/charts/kubewright/templates/"
cp "$fresh"/templates/*.yaml "$out/charts/kubewright/templates/crds/"
