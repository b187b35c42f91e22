# Every task of the project by name. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 600

# The host's own target, named so that only the program is linked statically, not what runs during the build.
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
STATIC := target/$(HOST)/release/cronkeep
# Base images of `make image`: what compiles, and what the jobs find around them.
BUILDER ?= rust:1-bookworm
BASE ?= alpine:3
# Rounds of edits and signals of `make soak`.
ROUNDS ?= 1000
# How long `make soak` harms replicas; CRONKEEP_TEST_SOAK_SEED repeats a run.
SOAK_SECONDS ?= 600

.PHONY: help build static check test rows soak bench fuzz image documents deb clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the release binary, target/release/cronkeep
	$(CARGO) build --release --locked

static: ## build the release binary without shared libraries, as for the container image
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --release --locked --target $(HOST)

check: ## formatting, lints, layers, dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --test layers
	tests/tools.sh deny
	PATH="$$PATH:target/tools/bin" $(CARGO) deny check bans licenses sources
	! $(CARGO) tree --locked --edges normal --invert async-compat 2>&1 | grep async-rs

# The program in the tests' image is optimised less, which saves minutes.
test: export CARGO_PROFILE_RELEASE_LTO = off
test: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS = 16
test: export CARGO_PROFILE_RELEASE_OPT_LEVEL = 1
test: check static ## everything that must hold before a change lands; installs what it needs when root
	tests/tools.sh test
	CRONKEEP_TEST_IMAGE_PROGRAM=$(CURDIR)/$(STATIC) tests/lanes.py

rows: ## put Debian's cron and busybox's crond under the tests of the rows, and write docs/compatibility.md: as root, 4 minutes
	tests/tools.sh rows
	tests/rows/matrix.sh write
	CRONKEEP_TEST_WRITE_DOCUMENTS=1 $(CARGO) test --locked --test documents every_row

# What is missing there is no success; the last that it tells is what became of the replicas' instants, in JSON.
soak: export CI = true
soak: ## long runs of what `make test` runs briefly: fuzzing, property tests with many cases, a thousand rounds of signals
	tests/tools.sh test
	tests/tools.sh rows
	tests/rows/matrix.sh check
	CRONKEEP_TEST_ROUNDS=$(ROUNDS) CRONKEEP_TEST_TASKS=10000 PROPTEST_CASES=20000 $(CARGO) test --release --locked
	CRONKEEP_TEST_SYSTEMD=1 $(CARGO) test --locked --test package
	CRONKEEP_TEST_KILLS=20 $(CARGO) test --locked --test replica burst:: -- --nocapture
	$(MAKE) fuzz
	CRONKEEP_TEST_SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked --test replica soak::without -- --nocapture
	CRONKEEP_TEST_SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked --test replica soak::whatever -- --nocapture

fuzz: ## each fuzz target for FUZZ_SECONDS seconds (nightly toolchain and cargo-fuzz)
	fuzz/run.sh $(FUZZ_SECONDS)

bench: ## measure, beside Debian's cron, busybox's crond and the Python service, and write docs/performance.md: as root, 40 minutes
	tests/tools.sh bench
	$(CARGO) build --release --locked
	$(CARGO) bench --locked --bench claim --bench message --no-run
	mkdir -p target/bench
	$(CARGO) bench --locked --bench language --bench calendar --bench table --bench store > target/bench/micro.txt
	benches/end_to_end.py --micro target/bench/micro.txt

documents: ## write the man page and the completions from the options table, which tests name which row, the examples of events
	SNAPSHOTS=overwrite $(CARGO) test --locked --test cli generated::the_packaged
	CRONKEEP_TEST_WRITE_DOCUMENTS=1 $(CARGO) test --locked --test documents every_row
	CRONKEEP_TEST_WRITE_DOCUMENTS=1 $(CARGO) test --locked --lib publish::document::every_event

deb: build ## build the Debian package, target/debian/cronkeep_VERSION_ARCH.deb
	packaging/deb/build.sh target/release/cronkeep

image: ## build the container image
	docker build --build-arg BUILDER=$(BUILDER) --build-arg BASE=$(BASE) --tag cronkeep .

clean: ## remove what was built
	$(CARGO) clean
