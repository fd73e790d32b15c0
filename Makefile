# `make help` lists what can be done. Everything works on a fresh Debian 12 with Go, git, make and gcc, as root.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# hack/bundle-path.sh knows where it is when this is not set.
KUBEWRIGHT_BUNDLE ?= $(shell hack/bundle-path.sh)
export KUBEWRIGHT_BUNDLE

TOOL := go tool -modfile=tools/go.mod

.PHONY: help setup generate verify-generated build bundle demo test test-api lint e2e e2e-kill bench-install clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  %-18s %s\n", $$1, $$2}'

setup: ## Install the Debian packages that are missing (needs root when any is)
	@hack/setup.sh

generate: ## Write deepcopy functions, CRDs and the chart's CRDs and rules anew after api/ or a marker changed
	hack/generate.sh

verify-generated: ## Fail when a generated file is stale
	hack/verify-generated.sh

build: ## Build bin/kubewright
	go build -trimpath -o bin/kubewright ./cmd/kubewright

bundle: build ## Build the bundle for Kubernetes 1.36 into the cache (KUBEWRIGHT_BUNDLE), quick when nothing changed
	@mkdir -p "$$(dirname "$$KUBEWRIGHT_BUNDLE")"
	bin/kubewright bundle build -f artifacts/kubernetes-1.36.yaml -o "$$KUBEWRIGHT_BUNDLE"

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

e2e: setup bundle ## Run the tests on container hosts
	go test -tags e2e -count 1 -p 1 -timeout 90m ./e2e/...

e2e-kill: setup bundle ## Run only the test that kills an installation again and again
	go test -tags e2e -count 1 -p 1 -timeout 90m -run Kill ./e2e/...

bench-install: setup bundle ## Measure an installation against hand-scripted kubeadm on the same hosts
	e2e/bench-install.sh

clean: ## Remove what was built in the repository (the cache and container hosts stay; see hosts-down)
	rm -rf bin .cache

include e2e/hosts/hosts.mk
