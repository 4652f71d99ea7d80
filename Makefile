# make builds bin/husk; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

# sudo's PATH mostly lacks /usr/local/go/bin.
GO ?= $(firstword $(shell command -v go) $(wildcard /usr/local/go/bin/go /usr/lib/go-1.2[1-9]/bin/go) go)
# Where the installed Go is older than go.mod asks for, it fetches the right one (Debian's packages switch that off).
export GOTOOLCHAIN ?= auto

VERSION ?= $(or $(patsubst v%,%,$(shell git describe --tags --exact-match 2>/dev/null)),0.1.0-dev)
COMMIT ?= $(shell git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null)
PREFIX ?= /usr/local
zshdir ?= $(PREFIX)/share/zsh/site-functions
# The program to install; bin/husk, which runs here, prints the rest.
HUSK ?= bin/husk

machine := $(shell uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')
# The versions of the linters are pinned here and nowhere else; the go command keeps them built.
gofumpt := mvdan.cc/gofumpt@v0.12.0
staticcheck := honnef.co/go/tools/cmd/staticcheck@v0.8.2
scripts := $(sort .ci/run .ci/setup .ci/checks $(shell grep -rlE "^\#!/bin/(ba)?sh" tests packaging --exclude-dir=testdata))

##@ Build

.PHONY: build
build: bin/husk ## build bin/husk, one static program (the default)

# No cgo: it costs each command half a millisecond of start-up. -trimpath, no VCS stamp: the same sources give the same file.
.PHONY: bin/husk
bin/husk: interpreter seccomp/compiler/compiler.bin build/overlay.json
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -overlay build/overlay.json \
		-ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o $@ ./cmd/husk

# Both programs are built with a piece of Go's runtime replaced: packaging/overlay says which and why.
.PHONY: overlay
build/overlay.json: overlay
	@GO='$(GO)' packaging/overlay $@

.PHONY: install
install: ## copy bin/husk, manual page and completions below $(DESTDIR)$(PREFIX)
	install -D -m 755 $(HUSK) $(DESTDIR)$(PREFIX)/bin/husk
	bin/husk man | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/man/man8/husk.8
	bin/husk completion bash | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/husk
	bin/husk completion fish | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/husk.fish
	bin/husk completion zsh | install -D -m 644 /dev/stdin $(DESTDIR)$(zshdir)/_husk

.PHONY: deb release
deb: build ## a Debian package in build/ (needs dpkg-deb)
release: build ## static archives for amd64 and arm64 (or ARCHITECTURES) and SHA256SUMS in build/
deb release:
	MAKE='$(MAKE)' GO='$(GO)' VERSION='$(VERSION)' COMMIT='$(COMMIT)' packaging/build $@

.PHONY: test-packages
test-packages: build ## look into what install, deb and release make
	MAKE='$(MAKE)' GO='$(GO)' VERSION='$(VERSION)' COMMIT='$(COMMIT)' packaging/test

.PHONY: generate
generate: ## write all generated files anew
	$(GO) generate ./plan ./specconv

.PHONY: clean
clean: ## remove what make has built
	rm -rf bin build
	rm -f nsenter/interp/*.bin seccomp/compiler/compiler.bin

# The interpreter. What the flags are for:
#   -ffreestanding -nostdlib -static    no libc: the program is its own start-up and makes raw system calls
#   -fno-builtin                        the compiler must not turn a loop into a call of memset or memcpy, which nobody provides
#   -fno-stack-protector                the canary lives in thread-local storage, which is never set up
#   -fno-pic -fno-pie -no-pie           one fixed address (interp.lds): nothing to relocate at start, the plan's pointers are final
#   -fno-*unwind-tables -s --build-id=none      nobody reads them, and each would be a page that the kernel maps
#   -mgeneral-regs-only                 no floating point or vector registers to save
#   -fcf-protection=none                no .note.gnu.property: the plan's segment is where nsenter expects it (amd64)
#   -z noexecstack -z max-page-size     no executable stack; segments 64 KiB apart, arm64's largest page
interp_flags := -std=gnu11 -O2 -ffreestanding -fno-builtin -fno-stack-protector -fno-pic -fno-pie \
	-fno-asynchronous-unwind-tables -fno-unwind-tables -mgeneral-regs-only -Wall -Wextra -Werror \
	-nostdlib -static -no-pie -Wl,-T,nsenter/interp/interp.lds -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=65536 -s
interp_flags_amd64 := -fcf-protection=none
interp_cc_amd64 := $(if $(filter amd64,$(machine)),$(or $(shell command -v gcc),cc),$(shell command -v x86_64-linux-gnu-gcc))
interp_cc_arm64 := $(if $(filter arm64,$(machine)),$(or $(shell command -v gcc),cc),$(shell command -v aarch64-linux-gnu-gcc))
# The machine's own architecture, and the other one where a cross compiler is installed.
architectures := $(machine) $(foreach a,$(filter-out $(machine),amd64 arm64),$(if $(interp_cc_$(a)),$(a)))

.PHONY: interpreter
interpreter: $(architectures:%=nsenter/interp/interp_%.bin)

# Everything that is used of the linked file lies in its first page: nsenter puts the plan where the second segment begins.
nsenter/interp/interp_%.bin: nsenter/interp/interp.c nsenter/interp/interp.lds nsenter/interp/plan_abi.h nsenter/interp/syscall_%.h
	$(interp_cc_$*) $(interp_flags) $(interp_flags_$*) -o $@.elf nsenter/interp/interp.c
	head -c 4096 $@.elf >$@
	rm $@.elf

# The C side of the plan's layout is written from the Go side; it is committed, and `make check` proves that it is current.
nsenter/interp/plan_abi.h: plan/op.go plan/encode.go plan/gen/main.go
	$(GO) run ./plan/gen $@

# The seccomp compiler: libseccomp, hence the one program with cgo; linked statically, because it runs from a memfd with an
# empty environment. netgo and osusergo keep the C library's resolver and user look-up out of it.
seccomp/compiler/compiler.bin: $(wildcard seccomp/compiler/*.go seccomp/compiler/*.c seccomp/internal/wire/*.go) go.mod go.sum build/overlay.json
	CGO_ENABLED=1 $(GO) build -trimpath -buildvcs=false -overlay build/overlay.json -tags netgo,osusergo \
		-ldflags '-s -w -linkmode external -extldflags "-static"' -o $@ ./seccomp/compiler

##@ Test

.PHONY: check
check: interpreter seccomp/compiler/compiler.bin ## format, linters, generated files, unit tests; any user, below two minutes
	GO='$(GO)' GOFUMPT='$(gofumpt)' STATICCHECK='$(staticcheck)' .ci/checks $(scripts)

.PHONY: unit
unit: interpreter seccomp/compiler/compiler.bin ## the Go tests of the packages; as root also those that need it
	CGO_ENABLED=0 $(GO) test $$(CGO_ENABLED=0 $(GO) list ./... | grep -v '^husk/tests/')

.PHONY: test
test: ## all tests on this machine (as root; installs Debian packages that are missing)
	.ci/setup test
	tests/all

.PHONY: test-vm
test-vm: build ## all of tests/integration in an emulated machine with systemd and cgroup v2, in three settings (as root); HUSK_VM: another such machine
	.ci/setup vm
	GO='$(GO)' tests/vm/tests all

.PHONY: demo
demo: ## a real container from nothing (as root; installs Debian packages that are missing)
	.ci/setup demo
	tests/demo

.PHONY: bench
bench: build ## compare with the kernel's own price, crun and runc (as root)
	GO='$(GO)' tests/bench/run $(BENCH)

.PHONY: bench-memory
bench-memory: build ## what a container costs in memory before its program runs (as root)
	tests/bench/memory bin/husk $(RUNTIMES)

.PHONY: bench-scale
bench-scale: build ## what commands cost beside 100 and 1000 containers (as root)
	tests/bench/scale bin/husk

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-zA-Z/_-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: print-go
print-go:
	@echo $(GO)
