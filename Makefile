# Countersign: build, test and run. `make` alone lists the targets.
# Everything here works in a clean checkout with Go, git and make; what a target needs beyond them it installs (as root, on
# Debian and its kin) or names together with the command that installs it.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
BIN     := bin
BINARY  := $(BIN)/countersign
TOOLS   := $(BIN)/tools
VERSION ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo unknown)

# Tools are installed by version, each into a folder named after it, so that a new pin here is a new install. They stay out of
# go.mod: golangci-lint is under the GPL and must not become part of what we ship.
GOLANGCI_VERSION    := v2.15.0
GOVULNCHECK_VERSION := v1.9.0
GOLANGCI    := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
GOVULNCHECK := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck

# -trimpath and -buildvcs=false keep the folder and the state of the checkout out of the binary; the version is passed by name.
BUILD_FLAGS := -trimpath -buildvcs=false
LDFLAGS     := -X main.version=$(VERSION)

TEST_TIMEOUT ?= 20m
TEST_FLAGS   ?=
DEMO_FLAGS   ?=
BENCH_FLAGS  ?=

# Debian packages, each with the command or file that shows it to be there already.
NEED := scripts/need
TEST_PACKAGES := gcc=gcc libc6-dev=/usr/include/stdlib.h wrk=wrk
E2E := $(wildcard e2e/package.json e2e/*/package.json)
E2E_MODULES := $(E2E:package.json=node_modules/.package-lock.json)
ifneq ($(E2E),)
TEST_PACKAGES += nodejs=node npm=npm
ifneq ($(shell grep -l -e playwright $(E2E)),)
TEST_PACKAGES += chromium=chromium
endif
endif
ifneq ($(shell grep -l -e github.com/chromedp/chromedp go.mod),)
TEST_PACKAGES += chromium=chromium
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/countersign: one static binary, the same bytes from the same source
	$(GO) generate ./internal/web/check
	CGO_ENABLED=0 $(GO) build $(BUILD_FLAGS) -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/countersign

.PHONY: demo
demo: build ## run a whole federation of a fictional country on this machine (DEMO_FLAGS=...)
	$(BINARY) demo $(DEMO_FLAGS)

# Time is no setting of the ordinary program, so the year is kept by another one, whose federations the ordinary program refuses.
.PHONY: demo-year
demo-year: ## the same, with a family's whole year behind it: twelve months pass in half a minute (DEMO_FLAGS=...)
	CGO_ENABLED=0 $(GO) build -tags simclock $(BUILD_FLAGS) -ldflags '$(LDFLAGS)' -o $(BINARY)-simulated ./cmd/countersign
	$(BINARY)-simulated demo --dir demo-year $(DEMO_FLAGS)

.PHONY: test
test: test-needs ## run every test under the race detector (TEST_FLAGS=...)
	CGO_ENABLED=1 $(GO) test -race -timeout=$(TEST_TIMEOUT) $(TEST_FLAGS) ./...

.PHONY: test-needs
test-needs: $(E2E_MODULES) ## install what the tests need and is missing
	@$(NEED) $(TEST_PACKAGES)

# The lock files decide what the independent implementations that we test against are; no install script of theirs runs.
%/node_modules/.package-lock.json: %/package-lock.json %/package.json
	@$(NEED) nodejs=node npm=npm
	npm ci --prefix $* --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: lint
lint: $(GOLANGCI) ## gofmt, go vet (with simulated time too) and golangci-lint
	@unformatted=$$($(GO) list -f '{{.Dir}}' ./... | xargs -r gofmt -l); \
	if [[ -n $$unformatted ]]; then printf 'not formatted (gofmt -w mends it):\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags simclock ./...
	$(GOLANGCI) run --allow-parallel-runners ./...

.PHONY: vuln
vuln: $(GOVULNCHECK) ## look for known vulnerabilities in what the binary reaches
	scripts/vuln $(GOVULNCHECK)

.PHONY: bench
bench: build ## compare a gateway pair with a bare two-hop mutual-TLS chain (BENCH_FLAGS=...)
	@$(NEED) wrk=wrk
	$(GO) run ./bench run -binary $(BINARY) $(BENCH_FLAGS)

.PHONY: bench-ledger
bench-ledger: ## measure the ledger: appends, a million records, proofs, the end of records; see docs/design/ledger.md (BENCH_FLAGS=-short for a tenth)
	$(GO) test -run '^$$' -bench '^Benchmark(Durable|BytesOfAnExchange)' -benchtime 3000x -timeout 30m $(BENCH_FLAGS) ./internal/ledger
	$(GO) test -run '^$$' -bench '^BenchmarkMillion' -benchtime 100x -timeout 30m $(BENCH_FLAGS) ./internal/ledger

# SOAK_KILLS is how often gateways under load, and then a log by itself, are killed at random instants; the tests do it a few times.
SOAK_KILLS ?= 1000
.PHONY: soak
soak: ## kill gateways under load again and again; nothing acknowledged may be lost or doubled, nothing may fork (SOAK_KILLS=...)
	SOAK_KILLS=$(SOAK_KILLS) $(GO) test -count=1 -timeout=6h -run '^TestKilledGatewaysLoseNothing$$' -v ./cmd/countersign
	SOAK_KILLS=$(SOAK_KILLS) $(GO) test -count=1 -timeout=6h -run '^TestKilledAtAnyInstant$$' -v ./internal/ledger

# The figures of docs/operate/portal.md; the tests read a tenth of it.
LOAD_PEOPLE  ?= 200
LOAD_ENTRIES ?= 500
LOAD_LONG    ?= 100000
.PHONY: load
load: ## people read long histories at once, one a very long one: time, processor and memory of portal and gateways (LOAD_PEOPLE=... LOAD_ENTRIES=... LOAD_LONG=...)
	LOAD_PEOPLE=$(LOAD_PEOPLE) LOAD_ENTRIES=$(LOAD_ENTRIES) LOAD_LONG=$(LOAD_LONG) $(GO) test -count=1 -timeout=30m -run '^TestPortalLoad$$' -v ./cmd/countersign

.PHONY: wasm
wasm: ## build dist/verify.wasm: the offline verification for browsers, and its support script
	mkdir -p dist
	GOOS=js GOARCH=wasm CGO_ENABLED=0 $(GO) build $(BUILD_FLAGS) -ldflags '-s -w' -o dist/verify.wasm ./wasm
	cp "$$($(GO) env GOROOT)/lib/wasm/wasm_exec.js" dist/
	@ls -l dist/verify.wasm; printf 'compressed: '; gzip -9 -c dist/verify.wasm | wc -c

.PHONY: reproducible
reproducible: ## build twice, in two folders and with two caches, and compare the bytes
	GO='$(GO)' VERSION='$(VERSION)' scripts/reproducible $(MAKE)

.PHONY: tools
tools: $(GOLANGCI) $(GOVULNCHECK) ## install the pinned tools into bin/tools

$(GOLANGCI):
	GOBIN=$(abspath $(@D)) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(GOVULNCHECK):
	GOBIN=$(abspath $(@D)) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

.PHONY: clean
clean: ## remove what was built and installed here
	rm -rf $(BIN) dist e2e/node_modules e2e/*/node_modules
