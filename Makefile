# Everything is built as the caller; sudo is used for ss-setup alone.
# "make help" lists the targets. ARGS="..." is passed on to ss-setup.

# The top heading of CHANGELOG.md is the one source of the version.
VERSION := $(shell sed -n 's/^\#\# \[\([0-9][^]]*\)\].*/\1/p' CHANGELOG.md | head -n 1)

# Where programs and bundle go, and what the test fixtures change: tags, -X values, the
# programs to build, the definitions. (Fixture releases are built by these same rules.)
BIN      := bin
BUNDLE   := dist/bundle
TAGS     :=
XFLAGS   :=
PROGRAMS := installer/cmd/ss-setup runtime/cmd/ss-server runtime/cmd/ss-licensed runtime/cmd/lmu
SERVICES := packaging/services
LEVEL    := 3

# -buildvcs=false: the same source gives the same bytes, whoever checked it out how.
GO_BUILD := CGO_ENABLED=0 go build -buildvcs=false -trimpath -tags "$(TAGS)" \
            -ldflags "-s -w -X ss-setup/runtime/version.Version=$(VERSION) $(XFLAGS)"
TOOL     := go tool -modfile=scripts/tools.mod
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
TESTRUN  := go run ./scripts/cmd/testrun

# Build tags of code that a plain build leaves out: linters see it too.
ALL_TAGS := lab,soak,faults,fixture,fixture_schema2

# Targets that can be built today.
TARGETS  := linux/amd64 linux/arm64

FUZZTIME := 10s

.PHONY: help build programs bundle install uninstall test soak lab bench lint vuln fuzz release clean
.DEFAULT_GOAL := build

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1#\2/p' Makefile | column -t -s '#'

build: programs bundle ## build the programs (bin/) and a bundle for this machine (dist/bundle/)

programs:
	@mkdir -p $(BIN)
	$(if $(PROGRAMS),$(GO_BUILD) -o $(BIN)/ $(addprefix ./,$(PROGRAMS)))

# ss-release runs here, whatever the target is, so it is built for this machine.
bundle: programs
	@GOOS= GOARCH= go run ./packaging/cmd/ss-release bundle --version $(VERSION) --bin $(BIN) \
		--services $(SERVICES) --setup $(BIN)/ss-setup --out $(BUNDLE) --level $(LEVEL)

install: build ## build, then install SS Server on this machine (ARGS="..." for ss-setup install)
	$(SUDO) $(BUNDLE)/ss-setup install $(ARGS)

uninstall: ## remove SS Server from this machine (ARGS="--purge" also removes its data)
	@setup=$$(command -v ss-setup || echo $(BUNDLE)/ss-setup); \
	[ -x "$$setup" ] || { echo "no ss-setup here: nothing was installed; make build makes one"; exit 12; }; \
	set -x; $(SUDO) "$$setup" uninstall $(ARGS)

test: ## all tests; real machines are booted when run as root
	$(TESTRUN) ./... -- -tags lab -count 1 -p 1 -timeout 20m ./scripts/lab/... -- -tags lab,faults -count 1 -timeout 5m ./installer/machine

soak: ## the long sweeps: every crash point, a hundred power cuts, every fuzz target for 20s
	$(TESTRUN) -tags lab,soak -count 1 -p 1 -timeout 90m ./scripts/lab/...
	bash scripts/fuzz.sh 20s

lab: ## prepare the test lab and show how to use it by hand, with bin/lab
	go build -buildvcs=false -o bin/lab ./scripts/lab/cmd/lab
	$(SUDO) bin/lab prepare bookworm bookworm-sysv bookworm-openrc
	@bin/lab help

bench: build ## measure the figures of the design, write dist/bench.json
	$(SUDO) env PATH="$$PATH" go run ./scripts/bench -out dist/bench.json

lint: ## go vet (Linux and Windows), staticcheck, gofumpt, shellcheck
	go vet -tags "$(ALL_TAGS)" ./...
	GOOS=windows go vet ./...
	$(TOOL) staticcheck -tags "$(ALL_TAGS)" ./...
	@files=$$($(TOOL) gofumpt -l .); [ -z "$$files" ] || { echo "gofumpt would change:"; echo "$$files"; exit 1; }
	bash scripts/shellcheck.sh

vuln: ## known vulnerabilities in what is built (needs govulncheck's online database)
	bash scripts/vuln.sh

fuzz: ## every fuzz target for FUZZTIME (default 10s)
	bash scripts/fuzz.sh $(FUZZTIME)

release: ## bundles for every target, packed small, in dist/
	@set -e; for target in $(TARGETS); do \
		os=$${target%/*} arch=$${target#*/}; \
		GOOS=$$os GOARCH=$$arch $(MAKE) --no-print-directory bundle LEVEL=19 \
			BIN=dist/build/$$os-$$arch BUNDLE=dist/ss-server-$(VERSION)-$$os-$$arch; \
	done
	@echo "Made for $(TARGETS). Not yet: windows/amd64, which this version cannot install on."

clean: ## remove what was built
	rm -rf bin dist
