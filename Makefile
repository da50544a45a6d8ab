# Targets a contributor needs. "make run" and "make test" want only Go and a shell; race wants a C compiler,
# lint wants golangci-lint, e2e wants what e2e/setup.sh installs.

SHELL    := /bin/sh
GO       ?= go
GOTEST   ?= $(GO) test
GOLANGCI ?= golangci-lint
LINTVER  := v2.15.0
FUZZTIME ?= 30s
CRASHSEEDS ?= 100000
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN      := bin/firehosed
# The packages whose concurrency promises matter most: they run under the race detector in CI.
RACE     ?= ./streams/... ./delivery/... ./buffer/... ./sources/... ./sinks/... ./leases/... ./access ./api/kinesis ./api/dynamodb/...

.DEFAULT_GOAL := build
.PHONY: build run test race lint vet fmt fmt-check fuzz crash e2e bench check docs clean help

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

build: ## build bin/firehosed: static, without cgo
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/firehosed

run: build ## build, start on config.example.yaml, send records, show the files that appear (DEMO_SECONDS=n stops it)
	@sh scripts/demo.sh

test: ## all tests of this module
	$(GOTEST) -timeout 5m ./...

race: ## the log, delivery, lease store and Kinesis packages under the race detector
	CGO_ENABLED=1 $(GOTEST) -race -timeout 14m $(RACE)

vet:
	$(GO) vet ./...

fmt: ## format every Go file, as the linter wants it if that is there
	gofmt -s -w $$(git ls-files -co --exclude-standard '*.go')
	if command -v $(GOLANGCI) >/dev/null; then $(GOLANGCI) fmt; fi

fmt-check:
	@bad=$$(gofmt -s -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$bad" ]; then echo "not formatted (make fmt does it):"; echo "$$bad"; exit 1; fi

lint: ## golangci-lint with .golangci.yml, over this module, e2e and bench/baselines
	@command -v $(GOLANGCI) >/dev/null || { echo "$(GOLANGCI) is missing: go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINTVER)"; exit 1; }
	$(GOLANGCI) run ./...
	cd e2e && $(GOLANGCI) run ./...
	cd bench/baselines && $(GOLANGCI) run ./...

fuzz: ## every fuzz target for FUZZTIME (default 30s) each
	FUZZTIME=$(FUZZTIME) GO="$(GO)" sh scripts/fuzz.sh

crash: ## power cuts at random in the log, CRASHSEEDS (default 100000) histories for each test
	$(GOTEST) -count=1 -timeout 24h -run 'TestCrash' ./streams/wal -crashseeds=$(CRASHSEEDS)

e2e: build ## black-box tests with real clients and real servers (e2e/setup.sh fetches those)
	cd e2e && FIREHOSED_BIN="$(CURDIR)/$(BIN)" $(GOTEST) -count=1 -timeout 19m ./...

bench: ## every figure beside its floor, measured in the same run
	$(GO) run ./bench $(BENCHFLAGS)

check: ## what CI runs, but for e2e
	bash scripts/check.sh

docs: ## regenerate the configuration reference and the JSON schema
	$(GO) generate ./...

clean: ## remove what build and run left
	rm -rf bin out firehosed-data
