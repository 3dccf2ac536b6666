# leadline: every target works alone on a fresh clone; `setup` installs what is missing.

SHELL := /bin/bash
CARGO := $(shell command -v cargo 2>/dev/null || echo $(HOME)/.cargo/bin/cargo)
DATA ?= ./data
LISTEN ?= 127.0.0.1:8080
SEEDS ?= 1000
SECONDS_OF_SOAK ?= 3600

.PHONY: help setup setup-tests run run-webhook run-api dev-db release test test-kafka test-integration sim soak lint fmt bench bench-kafka load-test fuzz fuzz-ci coverage

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

setup: ## Install what is missing: compilers, headers and the Rust toolchain (Debian, as root)
	@deploy/setup.sh

run: setup ## Start leadline with two sample tenants and real signed webhooks
	@$(CARGO) build --release --locked --bin leadline
	@target=$${CARGO_TARGET_DIR:-target}; exec "$$target/release/leadline" run --demo --data "$$(mktemp -d)" --listen $(LISTEN)

run-webhook: setup ## Start only the webhook role on DATA
	@$(CARGO) run --release --locked --bin leadline -- run --role webhook --data $(DATA) --listen $(LISTEN)

run-api: setup ## Start only the API role on DATA
	@$(CARGO) run --release --locked --bin leadline -- run --role api --data $(DATA) --listen $(LISTEN)

dev-db: setup ## Prepare DATA with a sample tenant and print its token
	@$(CARGO) run --release --locked --bin leadline -- tenant add summit --name "Summit Kitchens" --company-id COM338e6107d0eb4712af2d4f2f8a18c900 --signing-key 072e77e426f92738a72fe23c4d1953b4 --data $(DATA)

lint: setup ## Format check and clippy, warnings are errors
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings

setup-tests: ## As setup, and what the servers that tests start need
	@deploy/setup.sh tests

test: setup-tests lint ## Everything that CI runs
	@$(CARGO) build --locked --bin leadline --features kafka,scylla,spanner,gcs
	@SIM_SEEDS=1000 $(CARGO) test --workspace --locked --features leadline/kafka,leadline/scylla,leadline/spanner,leadline/gcs,leadline-connectors/kafka,leadline-connectors/gcs,leadline-connectors/scylla,leadline-connectors/spanner,leadline-tests/spanner
	@$(MAKE) --no-print-directory fuzz-ci

sim: setup ## Run SEEDS seeds of the simulator, then the deliberate bugs
	@SIM_SEEDS=$(SEEDS) $(CARGO) test --locked -p leadline-tests --test sim

soak: setup ## Run new seeds of the simulator for SECONDS_OF_SOAK
	@$(CARGO) test --locked -p leadline-tests --test sim -- --soak $(SECONDS_OF_SOAK)

test-integration: setup-tests ## Only the whole-system tests, on the real binary
	@$(CARGO) build --locked --bin leadline --features kafka,scylla,spanner,gcs
	@$(CARGO) test --locked -p leadline-tests --features spanner

test-kafka: setup-tests ## Only the tests on real Kafka brokers; KAFKA_SECONDS=600 for the long form
	@$(CARGO) build --locked --bin leadline --features kafka,scylla
	@$(CARGO) test --locked -p leadline-connectors --features kafka --test kafka
	@$(CARGO) test --locked -p leadline-tests --test kafka

fuzz: setup ## Fuzz every target, ten minutes in all: libFuzzer where a nightly toolchain has cargo-fuzz
	@SECONDS_EACH=200 CARGO=$(CARGO) tests/fuzz/run.sh

fuzz-ci: setup ## Fuzz every target for 30 s with the runner that needs no nightly, from one seed: a part of test
	@RUNNER=built-in LEADLINE_FUZZ_SEED=1 SECONDS_EACH=30 CARGO=$(CARGO) tests/fuzz/run.sh

coverage: setup ## Lines of schemas, operators and engine that tests run; fails below 90%
	@CARGO=$(CARGO) tests/coverage.sh

fmt: setup ## Format the code
	@$(CARGO) fmt --all

release: setup ## Build target/pgo/leadline, and its benchmarks, by profile-guided optimisation
	@CARGO=$(CARGO) deploy/pgo.sh

bench: setup ## Print the figures of bench/README.md
	@$(CARGO) build --release --locked --bin leadline
	@$(CARGO) run --release --locked -p leadline-bench --

bench-kafka: setup-tests ## Print the figures on Kafka of bench/README.md, on a real broker
	@$(CARGO) build --release --locked -p leadline -p leadline-bench --features leadline/kafka,leadline-bench/kafka
	@target=$${CARGO_TARGET_DIR:-target}; exec "$$target/release/leadline-bench" kafka

load-test: setup ## Webhooks at full speed against the release binary, beside a bare handler
	@$(CARGO) build --release --locked --bin leadline
	@$(CARGO) run --release --locked -p leadline-bench -- ingest
