# `make help` lists what can be done. Everything works on a fresh Debian 12 with Go, git, make and gcc, as root.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# hack/bundle-path.sh knows where it is when this is not set.
KUBEWRIGHT_BUNDLE ?= $(shell hack/bundle-path.sh)
export KUBEWRIGHT_BUNDLE

TOOL := go tool -modfile=tools/go.mod

# Every version of Kubernetes that upgrades are tested with, and the one bundle that holds them all. 1.36 is the latest patch.
VERSIONS := 1.34 1.35 1.36.1 1.36
BUNDLE_ALL := $(shell hack/bundle-path.sh kubernetes-all)

# The manager's image has the chart's appVersion.
CHART_VERSION := $(shell sed -n 's/^appVersion: //p' charts/kubewright/Chart.yaml)
IMAGE ?= dist/kubewright-$(CHART_VERSION)-image.tar

# Where the results of the tests on container hosts go.
JUNIT ?= dist/e2e.xml

# Runs tests on container hosts with the bundle of all versions, prints a table of scenarios and writes it as JUnit XML.
E2E = @mkdir -p dist && rm -f dist/counts && go build -o dist/testsum ./hack/testsum && { \
	KUBEWRIGHT_BUNDLE="$(BUNDLE_ALL)" go test -json -tags e2e -count 1 -p 1 -timeout 180m $(1) | dist/testsum -add dist/counts -table -junit "$(JUNIT)" || true; } \
	&& dist/testsum -total dist/counts

.PHONY: help setup generate verify-generated build image bundle bundle-all demo test test-api lint e2e e2e-kill bench-install bench-bundle bench-lifecycle clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  %-18s %s\n", $$1, $$2}'

setup: ## Install the Debian packages that are missing (needs root when any is)
	@hack/setup.sh

generate: ## Write deepcopy functions, CRDs and the chart's CRDs and rules anew after api/ or a marker changed
	hack/generate.sh

verify-generated: ## Fail when a generated file is stale
	hack/verify-generated.sh

build: ## Build bin/kubewright and bin/kubewright-fetch
	go build -trimpath -o bin/ ./cmd/kubewright ./cmd/kubewright-fetch

image: ## Build the manager's container image, for the chart, into IMAGE; `ctr images import`, `docker load` and registry tools read it
	@mkdir -p dist/image "$(dir $(IMAGE))"
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o dist/image/ ./cmd/kubewright ./cmd/kubewright-fetch
	go run ./hack/image -name "kubewright:$(CHART_VERSION)" -o "$(IMAGE)" dist/image/kubewright dist/image/kubewright-fetch

# Debian's mirrors keep only the newest version of a package, and tests have to go on when one was replaced: bundles of these targets are for tests.
bundle: build ## Build the bundle for Kubernetes 1.36 into the cache (KUBEWRIGHT_BUNDLE), quick when nothing changed
	@mkdir -p "$$(dirname "$$KUBEWRIGHT_BUNDLE")"
	bin/kubewright bundle build --locked=false -f artifacts/kubernetes-1.36.yaml -o "$$KUBEWRIGHT_BUNDLE"

bundle-all: build ## Build a bundle for each Kubernetes version and one that holds them all, for upgrades (tens of minutes the first time)
	@mkdir -p "$(dir $(BUNDLE_ALL))"
	for v in $(VERSIONS); do bin/kubewright bundle build --locked=false -f "artifacts/kubernetes-$$v.yaml" -o "$$(hack/bundle-path.sh "kubernetes-$$v")"; done
	bin/kubewright bundle merge --name kubernetes-all $(foreach v,$(VERSIONS),"$$(hack/bundle-path.sh kubernetes-$(v))") -o "$(BUNDLE_ALL)"

demo: setup bundle ## Boot 4 container hosts and install a highly available cluster on them
	e2e/demo.sh

test: ## Run everything that decides whether a change is good; ends with "N passed, N failed"
	@hack/test.sh

test-api: bundle ## Run only the tests of the API against a real API server
	go test ./api/... ./pkg/testenv/...

lint: ## Check formatting, go vet and golangci-lint
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; \
		if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w on: $$unformatted" >&2; exit 1; fi
	go vet ./...
	go vet -tags e2e ./e2e/...
	$(TOOL) golangci-lint run
	$(TOOL) golangci-lint run --build-tags e2e ./e2e/...

e2e: setup bundle-all ## Run the tests on container hosts; ends with a table of scenarios, also in JUNIT
	$(call E2E,./e2e/...)

e2e-kill: export KUBEWRIGHT_E2E_KILL := 1
e2e-kill: setup bundle-all ## Kill every operation at every step, and one installation at random moments
	$(call E2E,-run Kill ./e2e/...)

bench-install: setup bundle ## Measure an installation against hand-scripted kubeadm on the same hosts
	e2e/bench-install.sh

bench-lifecycle: setup bundle-all ## Measure upgrading, growing and removing against hand-scripted kubeadm on the same hosts
	KUBEWRIGHT_BUNDLE="$(BUNDLE_ALL)" e2e/bench-lifecycle.sh

bench-bundle: bundle ## Measure verifying, importing, fetching and serving the bundle against plain sha256 and a plain file server
	go build -trimpath -o bin/ ./cmd/kubewright-fetch
	go build -trimpath -o bin/bench-bundle ./e2e/bench/bundle
	bin/bench-bundle "$$KUBEWRIGHT_BUNDLE"

clean: ## Remove what was built in the repository (the cache and container hosts stay; see hosts-down)
	rm -rf bin dist .cache

include e2e/hosts/hosts.mk
