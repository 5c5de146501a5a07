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
EXE      := $(shell go env GOEXE)
PROGRAMS := installer/cmd/ss-setup runtime/cmd/ss-server runtime/cmd/ss-licensed runtime/cmd/lmu \
            migrate/cmd/ss-vfsdecrypt \
            $(if $(EXE),packaging/windows/cmd/ss-wizard)
SERVICES := packaging/services
LEVEL    := 3

# Keys that sign bundles, and the root of trust that goes into ss-setup. Without a word
# they are development keys, made outside the repository on the first build. A vendor
# gives KEYS=DIR, or TRUST_ROOT=FILE alone where the keys are elsewhere; KEYS= signs nothing.
# What development keys have signed is forgotten but for the newest KEEP releases.
DEV_KEYS   := $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/ss-release/dev
KEYS       := $(DEV_KEYS)
TRUST_ROOT := $(if $(KEYS),$(KEYS)/root.json)
CHANNEL    := stable
KEEP       := 20
SIGN_KEYS   = $(KEYS)
# Certificate and key that sign programs for Windows; a throw-away one where none is named.
WIN_CERT   :=
WIN_KEY    :=
WIN_TS     :=
SIGNATURE   = --development-keys "$(DEV_KEYS)" --cert "$(WIN_CERT)" --key "$(WIN_KEY)" --timestamp-url "$(WIN_TS)"
# Where ss-setup looks for releases unless told otherwise; empty for nowhere.
# One-liners ask MIRRORS (commas between) after it. PACKAGES are made of what is for Linux.
BASE_URL   :=
MIRRORS    :=
PACKAGES   := deb,rpm
MAINTAINER := SS Server <root@localhost>
SS_RELEASE := GOOS= GOARCH= go run ./packaging/cmd/ss-release
ROOT_FLAG   = $(if $(TRUST_ROOT),-X ss-setup/installer/bundle/trust.root=$$(base64 -w 0 $(TRUST_ROOT)))
BASE_FLAG   = $(if $(BASE_URL),-X ss-setup/installer/bundle/repository.base=$(BASE_URL))

# -buildvcs=false: the same source gives the same bytes, whoever checked it out how.
GO_BUILD := CGO_ENABLED=0 go build -buildvcs=false -trimpath -tags "$(TAGS)" \
            -ldflags "-s -w -X ss-setup/runtime/version.Version=$(VERSION) $(ROOT_FLAG) $(BASE_FLAG) $(XFLAGS)"
TOOL     := go tool -modfile=scripts/tools.mod
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
TESTRUN  := go run ./scripts/cmd/testrun

# Build tags of code that a plain build leaves out: linters see it too.
ALL_TAGS := lab,soak,faults,fixture,fixture_schema2

# Targets that can be built today.
TARGETS  := linux/amd64 linux/arm64 windows/amd64

comma    := ,
space    := $(subst ,, )
RELEASED  = $(subst $(space),$(comma),$(foreach t,$(TARGETS),dist/ss-server-$(VERSION)-$(subst /,-,$(t))))
PREVIOUS :=

FUZZTIME := 10s

.PHONY: help build programs bundle install uninstall test soak lab bench lint vuln fuzz release clean
.DEFAULT_GOAL := build

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1#\2/p' Makefile | column -t -s '#'

build: programs bundle ## build the programs (bin/) and a bundle for this machine (dist/bundle/)

programs: $(TRUST_ROOT)
	@mkdir -p $(BIN)
	$(if $(PROGRAMS),$(GO_BUILD) -o $(BIN)/ $(addprefix ./,$(PROGRAMS)))
	$(if $(EXE),$(SS_RELEASE) authenticode $(SIGNATURE) \
		--files $$(echo $(BIN)/*.exe | tr ' ' ,))

$(DEV_KEYS)/root.json:
	@$(SS_RELEASE) keys init --development --keys $(DEV_KEYS)

# Other keys are not made by a build: a slip in KEYS would make a release that nobody trusts.
%/root.json:
	@echo "there are no keys in $*: name their folder (KEYS=DIR), or make them: go run ./packaging/cmd/ss-release keys init --keys $*" >&2; exit 1

# ss-release runs here, whatever the target is, so it is built for this machine.
bundle: programs
	@$(SS_RELEASE) bundle --version $(VERSION) --bin $(BIN) --services $(SERVICES) \
		--setup $(BIN)/ss-setup$(EXE) --out $(BUNDLE) --level $(LEVEL) \
		--keys "$(SIGN_KEYS)" --channel $(CHANNEL) --keep $(KEEP)

install: build ## build, then install SS Server on this machine (ARGS="..." for ss-setup install)
	$(SUDO) $(BUNDLE)/ss-setup install $(ARGS)

uninstall: ## remove SS Server from this machine (ARGS="--purge" also removes its data)
	@setup=$$(command -v ss-setup || echo $(BUNDLE)/ss-setup); \
	[ -x "$$setup" ] || { echo "no ss-setup here: nothing was installed; make build makes one"; exit 12; }; \
	set -x; $(SUDO) "$$setup" uninstall $(ARGS)

test: ## all tests; real machines are booted when run as root
	$(TESTRUN) ./... -- -tags lab -count 1 -p 2 -timeout 40m ./scripts/lab/... -- -tags lab,faults -count 1 -timeout 5m ./installer/machine

soak: ## the long sweeps: every crash point of imports and upgrades, every other one else, a hundred power cuts, 200 killed writers, every fuzz target for 20s
	$(TESTRUN) -tags lab,soak -count 1 -p 1 -timeout 90m ./scripts/lab/... -- -tags soak -count 1 -timeout 20m ./runtime/engine ./runtime/web
	bash scripts/fuzz.sh 20s

lab: ## prepare the test lab and show how to use it by hand, with bin/lab
	go build -buildvcs=false -o bin/lab ./scripts/lab/cmd/lab
	$(SUDO) bin/lab prepare bookworm bookworm-sysv bookworm-openrc
	@bin/lab help

bench: build ## measure the figures of the design, write dist/bench.json
	$(SUDO) env PATH="$$PATH" go run ./scripts/bench -out dist/bench.json

lint: ## go vet (Linux and Windows), staticcheck, gofumpt, shellcheck, go mod tidy
	go mod tidy -diff
	go vet -tags "$(ALL_TAGS)" ./...
	GOOS=windows go vet -tags faults ./...
	$(TOOL) staticcheck -tags "$(ALL_TAGS)" ./...
	GOOS=windows $$($(TOOL) -n staticcheck) -tags faults ./installer/... ./runtime/... ./migrate/... ./packaging/windows/...
	@files=$$($(TOOL) gofumpt -l .); [ -z "$$files" ] || { echo "gofumpt would change:"; echo "$$files"; exit 1; }
	bash scripts/shellcheck.sh

vuln: ## known vulnerabilities in what is built (needs govulncheck's online database)
	bash scripts/vuln.sh

fuzz: ## every fuzz target for FUZZTIME (default 10s)
	bash scripts/fuzz.sh $(FUZZTIME)

# The same commit gives the same bytes: what holds a time holds that of the commit.
release: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
release: ## everything that is put on a server, in dist/ (PREVIOUS=DIR,… makes patches from earlier bundles)
	@[ -n "$(KEYS)" ] || { echo "a release needs keys to sign with: name their folder with KEYS=DIR" >&2; exit 1; }
	@set -e; for target in $(TARGETS); do \
		os=$${target%/*} arch=$${target#*/}; \
		GOOS=$$os GOARCH=$$arch $(MAKE) --no-print-directory bundle LEVEL=19 SIGN_KEYS= \
			BIN=dist/build/$$os-$$arch BUNDLE=dist/ss-server-$(VERSION)-$$os-$$arch; \
	done
	@$(SS_RELEASE) publish --keys "$(KEYS)" --channel $(CHANNEL) --out dist --bin dist/build --base-url "$(BASE_URL)" \
		--mirror "$(MIRRORS)" --packages "$(PACKAGES)" --maintainer "$(MAINTAINER)" \
		--previous "$(PREVIOUS)" --bundles "$(RELEASED)" --wizard $(SIGNATURE)

clean: ## remove what was built
	rm -rf bin dist
