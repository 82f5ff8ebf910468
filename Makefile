# make run: one gateway on this machine, ready for a pasted curl (STORE=postgres: its books in a private Postgres).
# make test: everything a change must pass.
.PHONY: help run model test test-sdk-all test-torture test-worker test-prometheus test-compose test-all lint torture release bench soak stages bench-parts oracle oracle-self bench-worker fuzz clean

help:            ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run:             ## Build, start gateway and worker with the shipped model, print base URL, key, curl line and page
	@STORE=$(STORE) scripts/setup.sh build
	@STORE=$(STORE) scripts/run.sh

model:           ## Train the small model that is shipped again, into models/small
	@scripts/setup.sh build
	@scripts/model.sh

test:            ## Unit, property and integration tests, and the official SDKs of OpenAI and Anthropic
	@scripts/setup.sh test
	cargo test --quiet
	scripts/test-sdk.sh

test-worker:     ## The candle worker: its tests, then 500 requests through the gateway and a kill
	@scripts/setup.sh test
	cargo test --quiet -p tollgate-worker
	scripts/test-worker.sh

test-sdk-all:    ## The official SDKs of every dialect, in Python and Node
	@scripts/setup.sh sdk
	scripts/test-sdk.sh all

test-torture:    ## A slice of `make torture`, another one each time: named points, random kills, one and three gateways, Postgres away
	@scripts/setup.sh test
	TORTURE=slice cargo test --quiet --features failpoints --test torture -- --test-threads=1 --nocapture

test-prometheus: ## Every alert rule fires and does not, and a real Prometheus scrapes a real gateway and evaluates them all
	@scripts/setup.sh prometheus
	scripts/test-prometheus.sh

test-compose:    ## docker-compose.yml and Dockerfile, as far as they can be looked at without a Docker daemon
	@scripts/setup.sh compose
	scripts/test-compose.sh

test-all: lint test test-sdk-all test-torture test-worker test-prometheus test-compose ## What CI runs

lint:            ## Format, clippy, docs, dependencies
	@scripts/setup.sh lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy --all-targets --features failpoints --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo deny --log-level error check bans licenses sources

torture:         ## Power cuts and kills by the thousand; the table goes into docs/reliability.md
	@scripts/setup.sh build
	scripts/torture.sh

release:         ## The gateway as it is shipped and measured, laid out by BOLT: target/dist/shipped/tollgate (about ten minutes)
	@scripts/setup.sh release
	scripts/release.sh

bench:           ## nginx and the gateway side by side, 10 minutes (BENCH=quick: 4); docs/performance.md says what is measured
	@scripts/setup.sh bench
	scripts/release.sh
	python3 bench/run.py $(or $(BENCH),full)

soak:            ## Two million requests through one gateway: its memory stays flat, its books are right (three minutes after the build)
	@scripts/setup.sh bench
	scripts/release.sh
	python3 bench/soak.py

stages:          ## Where a plain request's instructions go: the gateway under callgrind (two minutes after the build)
	@scripts/setup.sh stages
	scripts/release.sh
	python3 bench/stages.py

bench-parts:     ## Parts alone: journal, client, sniffer, prices, posting; figures go into docs and commit bodies
	cargo bench --bench journal
	cargo bench --bench http_client
	cargo bench --bench sniff
	cargo bench --bench price
	cargo bench --bench posting

oracle:          ## Opt-in: the candle worker against llama.cpp, token by token (fetches a model of 238 MB)
	@scripts/setup.sh oracle
	@scripts/gemma.sh
	@scripts/build-worker.sh
	node scripts/oracle.mjs

oracle-self:     ## Opt-in: the oracle itself, against llama.cpp with planted faults
	@scripts/setup.sh oracle
	@scripts/gemma.sh
	node --test tests/oracle

bench-worker:    ## Opt-in: the candle worker's speed beside llama.cpp's, on an otherwise quiet machine
	@scripts/setup.sh oracle
	@scripts/gemma.sh
	@scripts/build-worker.sh
	node scripts/bench-worker.mjs

fuzz:            ## Opt-in: forged usage in answers of every dialect, split anywhere, for FUZZ_SECS (60) seconds; the first build takes minutes
	@scripts/setup.sh fuzz
	FUZZ_SECS=$(or $(FUZZ_SECS),60) scripts/fuzz.sh

clean:           ## Remove what was built and the demo's data
	cargo clean
	rm -rf data .venv fuzz/target
