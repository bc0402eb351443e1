# `make demo` shows Lessor at work, `make test` runs the whole suite. Both work in
# a fresh clone on Debian as root; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: help build demo test test-units test-gates test-sim test-network lint fuzz bench soak needs clean

GO ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X lessor/internal/cli.version=$(VERSION)
FUZZTIME ?= 30s
SOAK ?= 10m
PARTS ?=
SEEDS ?= 2000
BENCH ?= .
BENCHTIME ?= 1s

# Packages that need namespaces, root and real clients live below ./test.
UNITS = $$($(GO) list ./... | grep -v '^lessor/test')
# Tests that the race detector would disturb are in files that are not built with it.
GATES = $$(grep -rl --include='*_test.go' '^//go:build !race' . | xargs sed -nE 's/^func (Test[A-Za-z0-9_]*)\(.*/\1/p' | sort -u | paste -sd '|')

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26

build: ## build ./lessor, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o lessor ./cmd/lessor

demo: build ## two servers and a client in a private network, for less than a minute
	./lessor lab

test: needs test-units test-gates test-sim test-network ## the whole suite, under 15 minutes on two cores

needs: ## what the suite needs: installed as root, else listed
	@.ci/needs

test-units: ## every package under the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $(UNITS)

test-gates: ## what the race detector would disturb: gates of memory and allocations, and one turn of each benchmark
	CGO_ENABLED=0 $(GO) test -timeout 10m -run "^($(GATES))$$" -bench . -benchtime 1x $(UNITS)

test-sim: build ## SEEDS (2000) simulated histories, judged by the promises of docs/invariants.md
	./lessor sim run --seeds $(SEEDS)

# Without the race detector: what runs here is the static binary that is shipped, and
# the floods need its speed. The units run the same code under the detector.
# What only waits for a lease of two minutes to end does so beside the rest.
WAITING = ^TestExpiryOfTwoMinutes$$
test-network: build ## the real binary and real clients in network namespaces
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; rc=0; \
	$(GO) test -count 1 -timeout 14m -v -run '$(WAITING)' ./test/client >$$log 2>&1 & waiting=$$!; \
	$(GO) test -count 1 -p 1 -timeout 14m -v -skip '$(WAITING)' ./test/... 2>&1 | .ci/progress || rc=$$?; \
	wait $$waiting || rc=$$?; \
	.ci/progress <$$log; \
	exit $$rc

lint: ## gofmt, vet, staticcheck
	@wrong=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$wrong" ]; then echo "gofmt -w would change: $$wrong"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## each fuzz target for FUZZTIME (30s)
	@for p in $(UNITS); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
		echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done; done

bench: ## print the benchmarks; BENCH=regexp chooses
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem -timeout 60m ./...

soak: build ## the long forms of the tests for SOAK (10m), and a table of what ran; PARTS chooses
	@.ci/soak $(SOAK) $(PARTS)

clean: ## remove what was built
	rm -f lessor
