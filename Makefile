# Every task of the project by name. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 600

.PHONY: help build check test soak bench fuzz image documents deb clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the release binary, target/release/cronkeep
	$(CARGO) build --release --locked

check: ## formatting, lints, layers, dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --test layers
	tests/tools.sh deny
	PATH="$$PATH:target/tools/bin" $(CARGO) deny check bans licenses sources

test: check ## everything that must hold before a change lands; installs what it needs when root
	tests/tools.sh test
	$(CARGO) test --locked
	$(CARGO) build --release --locked

soak: ## long runs of what `make test` runs briefly: fuzzing, property tests with many cases
	PROPTEST_CASES=20000 $(CARGO) test --release --locked
	$(MAKE) fuzz

fuzz: ## each fuzz target for FUZZ_SECONDS seconds (nightly toolchain and cargo-fuzz)
	fuzz/run.sh $(FUZZ_SECONDS)

bench: ## measure, beside Debian's cron and busybox's crond, and write docs/performance.md: as root, 25 minutes
	tests/tools.sh bench
	$(CARGO) build --release --locked
	mkdir -p target/bench
	$(CARGO) bench --locked --bench language --bench calendar --bench table > target/bench/micro.txt
	benches/end_to_end.py --micro target/bench/micro.txt

documents: ## write the man page and the completions from the options table
	CRONKEEP_WRITE_DOCUMENTS=1 $(CARGO) test --locked --test cli documents

deb: build ## build the Debian package, target/debian/cronkeep_VERSION_ARCH.deb
	packaging/deb/build.sh target/release/cronkeep

image: ## build the container image
	docker build -t cronkeep .

clean: ## remove what was built
	$(CARGO) clean
