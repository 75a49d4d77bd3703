# Shoal: `make help` lists what there is. Caches live in ~/.cache/shoal, outside the checkout.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export SHOAL_CACHE ?= $(HOME)/.cache/shoal
CACHE := $(SHOAL_CACHE)
UV := $(CACHE)/tools/bin/uv
PYTHON := .venv/bin/python
export CARGO_TARGET_DIR ?= $(CACHE)/cargo-target
export PATH := $(CACHE)/bin:$(PATH)

-include hack/cluster/cluster.mk

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-22s\033[0m %s\n", $$1, $$2}'

.PHONY: setup
setup: ## install the tool chain and the Python environment (quick when they are there)
	@hack/toolchain.sh
	@$(UV) sync --quiet --all-packages --frozen

.PHONY: generate
generate: setup ## write the generated files anew: CRDs, API reference, protobuf stubs
	$(PYTHON) hack/generate_crds.py
	$(PYTHON) hack/generate_proto.py

.PHONY: format
format: setup ## format the sources
	.venv/bin/ruff format
	.venv/bin/ruff check --fix
	cargo fmt --manifest-path worker/engine/Cargo.toml

.PHONY: lint
lint: setup ## formatters, linters, types, import contracts, generated files
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON) hack/generate_crds.py --check
	$(PYTHON) hack/generate_proto.py --check
	cargo fmt --check --manifest-path worker/engine/Cargo.toml
	cargo clippy --quiet --all-targets --all-features --manifest-path worker/engine/Cargo.toml -- -D warnings
	cargo check --quiet --locked --manifest-path worker/engine/fuzz/Cargo.toml

.PHONY: unit
unit: setup programs ## tests that need no cluster
	cargo test --quiet --manifest-path worker/engine/Cargo.toml
	.venv/bin/pytest -q -n auto --dist loadfile

FUZZ_SECONDS ?= 600
.PHONY: fuzz
fuzz: setup ## hostile arrays and parameters against the engine (FUZZ_SECONDS=600 for each target)
	@rustup toolchain list | grep -q nightly || rustup toolchain install nightly --profile minimal
	@test -x $(CACHE)/bin/cargo-fuzz || cargo install --quiet --locked --root $(CACHE) cargo-fuzz@0.13.2
	@cd worker/engine && for target in index_reader parameters; do \
		nice -n 19 cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048; \
	done

.PHONY: fuzz-requests
fuzz-requests: setup ## damaged requests against the worker's parser and answers (CASES=1000000: about a minute)
	@nice -n 19 $(PYTHON) -m tests.fuzz_requests --cases $(or $(CASES),1000000)

.PHONY: check
check: lint unit ## the quick gate: lint and the tests that need no cluster

.PHONY: bench-engine
bench-engine: setup ## the engine against its peers (ARGS=--quick: within a minute; ARGS=--help)
	@tests/bench/setup.sh
	@PYTHONPATH=dist/bench/engine $(CACHE)/bench/venv/bin/python -m tests.bench $(ARGS)

.PHONY: bench-engine-exactness
bench-engine-exactness: setup ## fits of many random hard cases against brute force (CASES=20000: minutes)
	SHOAL_EXACTNESS_CASES=$(or $(CASES),20000) .venv/bin/pytest -q tests/unit/engine/test_exactness.py

.PHONY: bench-lifecycle
bench-lifecycle: setup cluster-up images ## what trainings, the model store and batches cost (ARGS="--suite store"; ARGS=--help)
	@$(PYTHON) -m tests.bench_lifecycle $(ARGS)

.PHONY: bench-streams
bench-streams: setup ## how fast one worker consumes a stream, and what a kill and a share do
	@$(PYTHON) -m tests.bench_streams

.PHONY: bench-rollouts
bench-rollouts: setup cluster-up images ## rollouts under load on the cluster: failed calls, delays, shares (ARGS=--quick; ARGS=--help)
	@$(PYTHON) -m tests.bench_rollouts $(ARGS)

.PHONY: bench-serving
bench-serving: setup ## the worker's gRPC server against a bare echo, MLServer and KServe (ARGS=--quick; ARGS=--help)
	@tests/bench_serving/setup.sh
	@$(PYTHON) -m tests.bench_serving $(ARGS)

.PHONY: engine-pictures
engine-pictures: setup ## the pictures of docs/engine.md
	@tests/bench/setup.sh
	PYTHONPATH=dist/bench/engine $(CACHE)/bench/venv/bin/python hack/engine_pictures.py

.PHONY: card-picture
card-picture: setup ## the picture of docs/model-card.md
	$(PYTHON) -m hack.card_picture

.PHONY: gate-pictures
gate-pictures: setup ## the pictures of docs/gates.md
	$(PYTHON) -m tests.bench_decisions.pictures

.PHONY: bench-decisions
bench-decisions: setup ## the gates against others' rules on simulated rollouts (ARGS="--rollouts 50": quicker; ARGS=--help)
	$(PYTHON) -m tests.bench_decisions $(ARGS)
	@$(UV) run --quiet --no-project --with 'matplotlib>=3.10' python -m tests.bench_decisions.plots

.PHONY: bench-scaler
bench-scaler: setup ## the scaler against others' rules on simulated loads: cost, unserved calls, turns (ARGS=--help)
	$(PYTHON) -m tests.bench_scaler $(ARGS)
	@$(UV) run --quiet --no-project --with 'matplotlib>=3.10' python -m tests.bench_scaler.plots

.PHONY: bench-scaling
bench-scaling: setup cluster-up images ## a deployment that a load drives up and down on the cluster, by both routers and a stream (ARGS=--help)
	@$(PYTHON) -m tests.bench_scaling $(ARGS)
	@$(UV) run --quiet --no-project --with 'matplotlib>=3.10' python -m tests.bench_scaling.plots

.PHONY: wheel
wheel: setup ## the engine's wheel, into dist/
	.venv/bin/maturin build --release --out dist --manifest-path worker/engine/Cargo.toml

TESTS ?= tests/e2e
# Tests of the cluster mostly wait for it.
JOBS ?= 2
.PHONY: e2e
e2e: setup cluster-up images ## tests on the real cluster, which is started if it is not up (TESTS=tests/e2e/test_chart.py)
	.venv/bin/pytest -q -n $(JOBS) --dist loadfile $(TESTS)

.PHONY: e2e-argocd
e2e-argocd: setup cluster-up images ## opt-in: a real Argo CD syncs a Git repository through rollouts (builds it: 10 minutes)
	.venv/bin/pytest -q tests/e2e_argocd

.PHONY: demo
demo: setup cluster-up images ## the whole story: train, serve, canary under load, promote, roll back
	@$(PYTHON) -m hack.demo

.PHONY: test
test: check e2e cluster-down ## everything that CI runs, real cluster included
	@python3 hack/cluster status --assert-clean
