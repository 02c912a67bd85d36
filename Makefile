# CASA. `make help` lists what can be made.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTEST := .venv/bin/python -m pytest
DEBUG := .build/debug/casa
RELEASE := .build/release/casa
# Other binaries can be tested: make test-e2e CASA_BINARY=.build/release/casa
CASA_BINARY ?= $(DEBUG)
export CASA_BINARY

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing: Debian packages, and Python packages into ./.venv
	@scripts/setup test

.PHONY: build
build: ## Build .build/release/casa, and beside it the library that Envoy loads
	@scripts/setup run
	swift build -c release --static-swift-stdlib --product casa
	swift build -c release --static-swift-stdlib --product casa_filter

.PHONY: demo
demo: build ## Watch good calls pass and bad ones be refused (add DEMO='--format json')
	$(RELEASE) demo $(DEMO)

.PHONY: test
test: test-swift test-e2e ## Run all tests

.PHONY: build-tests
build-tests:
	@scripts/setup test
	@# Each by name: --build-tests also compiles the Protocol Buffers compiler, in C++, for a plug-in that nobody uses.
	for product in casaPackageTests casa casa_filter ExplorerFixture KubernetesProbe; do swift build --product $$product || exit; done

.PHONY: test-swift
test-swift: build-tests ## Run the tests in Swift
	@# One after the other: all at once keep two cores so busy that those with clients in them run into time-outs.
	swift test --skip-build --no-parallel
	CASA_TEST_DATABASE=postgres swift test --skip-build --no-parallel --filter 'TokenServiceTests|TracesTests'

.PHONY: test-e2e
test-e2e: build-tests ## Run the tests against real processes, Envoys and clients (Python)
	@# Those of the cluster and the Explorer beside the others, since all wait for processes most of the time.
	CASA_TEST_PORTS=10000-18000 $(PYTEST) Tests/EndToEnd/kubernetes Tests/EndToEnd/explorer >.build/test-beside.log 2>&1 & \
	CASA_TEST_PORTS=18000-32000 $(PYTEST) Tests/EndToEnd $(foreach part,attacks explorer interception kubernetes node,--ignore Tests/EndToEnd/$(part)); \
	first=$$?; wait $$!; second=$$?; cat .build/test-beside.log; exit $$((first | second))
	$(PYTEST) Tests/EndToEnd/node
	.venv/bin/python Tests/EndToEnd/attacks/each_adapter.py

.PHONY: attacks
attacks: build-tests ## Mount the attacks but those on the node guard (test-kernel), those on the data plane by each adapter
	.venv/bin/python Tests/EndToEnd/attacks/each_adapter.py

.PHONY: matrix
matrix: build-tests ## Mount the attacks with each layer alone (as root); the table in docs/threat-model.md
	.venv/bin/python Tests/EndToEnd/attacks/each_layer.py

.PHONY: test-kernel
test-kernel: build-tests ## Run the node guard's tests on this machine's kernel (as root)
	$(PYTEST) Tests/EndToEnd/node

SANITIZER ?= address
.PHONY: sanitize-filter
sanitize-filter: ## Run the filter's tests under a sanitizer: SANITIZER=address or thread
	scripts/sanitize-filter $(SANITIZER)

.PHONY: bpf
bpf: ## Compile the kernel programs into Sources/CNodeGuard
	@scripts/setup run
	scripts/bpf

.PHONY: check-bpf
check-bpf: ## Compare the committed kernel programs with what the sources compile to
	@mkdir -p .build/bpf
	scripts/bpf .build/bpf
	cmp .build/bpf/guard.bpf.o Sources/CNodeGuard/guard.bpf.o
	cmp .build/bpf/guard-bounded.bpf.o Sources/CNodeGuard/guard-bounded.bpf.o

.PHONY: charts
charts: build-tests ## Write what is made from deploy/: golden manifests, tables of values, the charts' CRDs
	CASA_GOLDEN=write $(PYTEST) Tests/EndToEnd/kubernetes

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## Feed every reader generated input; FUZZ_SECONDS=60 for each, FUZZ_JOBS=2 at a time
	Fuzzing/run --seconds $(FUZZ_SECONDS)

.PHONY: fuzz-ci
fuzz-ci: ## The same, as CI does: the kept inputs, and some seconds for each reader
	Fuzzing/run --seconds 5

# Some parts only: make bench BENCH='ingress mcp-call'
.PHONY: bench
bench: build ## Measure against baselines of the same run; Benchmarks/results/latest.json
	@scripts/setup bench
	CASA_BINARY=$(RELEASE) .venv/bin/python Benchmarks/run.py $(BENCH)

# Some adapters only: make load LOAD=lua
LOAD_SECONDS ?= 300
.PHONY: load
load: build ## Load a system for LOAD_SECONDS=300 while its parts are killed; Benchmarks/results/load.json
	@scripts/setup test
	LOAD_SECONDS=$(LOAD_SECONDS) CASA_BINARY=$(RELEASE) .venv/bin/python Benchmarks/load_test.py $(LOAD)

.PHONY: format
format: ## Format the Swift sources
	swift format --in-place --recursive Package.swift Sources Tests Fuzzing/Package.swift Fuzzing/Sources/FuzzParsers

.PHONY: lint
lint: ## Check the Swift sources' format
	swift format lint --strict --recursive Package.swift Sources Tests Fuzzing/Package.swift Fuzzing/Sources/FuzzParsers

.PHONY: protos
protos: ## Write the generated Swift of Envoy's messages anew (needs protobuf-compiler)
	@scripts/protos

.PHONY: clean
clean: ## Remove what was built and the Python environment
	rm -rf .build .venv .venv-peer
