#!/usr/bin/env bash
# The whole test: set up, generated files, build, bundle, unit and API tests, tests on container hosts.
# Needs no terminal. Ends with a line "N passed, N failed" and fails when anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
counts="$work/counts"
testsum="$work/testsum"

# A step that fails is one failure of its own, and what follows would only repeat it.
step() {
	local title="$1"
	shift
	echo "==> $title"
	"$@" </dev/null && return
	echo "==> $title: FAILED; nothing after it was run"
	echo "0 passed, 1 failed"
	exit 1
}

# Counts go to a file, because the two test runs are two processes. Options of testsum come before "--".
tests() {
	local title="$1" reports=()
	shift
	while [ "$1" != -- ]; do
		reports+=("$1")
		shift
	done
	shift
	echo "==> $title"
	go test -json "$@" </dev/null | "$testsum" -add "$counts" "${reports[@]}"
}

step "set up" hack/setup.sh
step "generated files" hack/verify-generated.sh
step "build" make --no-print-directory build
step "bundle" make --no-print-directory bundle
step "test counter" go build -o "$testsum" ./hack/testsum
list_packages() { go list ./... >"$work/packages"; }
step "packages" list_packages

KUBEWRIGHT_BUNDLE="$(hack/bundle-path.sh)"
export KUBEWRIGHT_BUNDLE
mapfile -t packages < <(grep -v '/e2e\(/\|$\)' "$work/packages")

tests "unit and API tests" -- -timeout 60m "${packages[@]}"

# With KUBEWRIGHT_TEST_MINUTES no story on container hosts is begun after that many minutes, so that a machine that is slow today still
# says what it found. What is left out is counted as skipped.
story() {
	local title="$1"
	shift
	if [ -n "${KUBEWRIGHT_TEST_MINUTES:-}" ] && ((SECONDS > KUBEWRIGHT_TEST_MINUTES * 60)); then
		echo "==> $title: SKIPPED, $((SECONDS / 60)) minutes have passed, and none is begun after $KUBEWRIGHT_TEST_MINUTES; run it with \`make test\`"
		echo '{"Skipped":1}' >>"$counts"
		return
	fi
	tests "$title" -table -- -tags e2e -count 1 "$@"
}

# Day-2 stories and the hunt for secrets take too long here; `make e2e` tells them, as it does what of the other packages takes minutes.
long='TestConditions/nodes_that_were_deleted|TestImagesOfRunningPods'
with_tests='{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}'
mapfile -t stories < <(go list -tags e2e -f "$with_tests" ./e2e/... | grep -Ev '/e2e/(lifecycle|secrets)$')
for package in "${stories[@]}"; do
	story "tests on container hosts: ${package##*/e2e/}" -timeout 60m -skip "$long" "$package"
done
story "operations that are killed, a sample" -timeout 60m -run TestKilledAtSomeSteps ./e2e/lifecycle

"$testsum" -total "$counts"
