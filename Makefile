# make run: one gateway on this machine, ready for a pasted curl (STORE=postgres: on a private Postgres).
# make test: everything a change must pass.
.PHONY: help run test test-all lint bench torture clean

help:            ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run:             ## Build, start a gateway with a scripted upstream, print base URL, key, curl line and page
	@STORE=$(STORE) scripts/setup.sh build
	@STORE=$(STORE) scripts/run.sh

test:            ## Unit, property and integration tests, and the official SDK
	@scripts/setup.sh test
	cargo test --workspace --quiet
	scripts/test-sdk.sh

test-all: lint test ## What CI runs

lint:            ## Format, clippy, docs, dependencies
	@scripts/setup.sh lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo deny --log-level error check bans licenses sources

bench:           ## Measurements; figures go into docs and commit bodies
	cargo bench --bench http_client
	cargo bench --bench sniff
	cargo bench --bench posting

clean:           ## Remove what was built and the demo's data
	cargo clean
	rm -rf data .venv
