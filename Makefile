# make run: one gateway on this machine, ready for a pasted curl.  make test: everything a change must pass.
.PHONY: help run test test-all lint bench torture clean

help:            ## What can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run:             ## Build, start a gateway with a scripted upstream, print base URL, key, curl line and page
	@scripts/setup.sh build
	@scripts/run.sh

test:            ## Unit, property and integration tests, and the official SDK
	@scripts/setup.sh test
	cargo test --workspace --quiet
	scripts/test-sdk.sh

test-all: lint test ## What CI runs

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

bench:           ## Measurements; figures go into docs and commit bodies
	cargo bench --bench journal
	cargo bench --bench http_client
	cargo bench --bench sniff

clean:           ## Remove what was built and the demo's data
	cargo clean
	rm -rf data .venv
