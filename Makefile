# What people run here; `make` lists it.
#
#   TEST_ARGS=name          one test, or any arguments of cargo test
#   RESOURCE_BROKER_CACHE   everything that is fetched or built, to be kept between runs and clones
#   CARGO_TARGET_DIR        where cargo builds; a part of that cache unless set
#   KUBEBUILDER_ASSETS      a folder with kube-apiserver and etcd, if there is one already

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

RESOURCE_BROKER_CACHE ?= $(or $(XDG_CACHE_HOME),$(if $(HOME),$(HOME)/.cache),$(CURDIR)/target/cache)/resource-broker
CARGO_TARGET_DIR ?= $(RESOURCE_BROKER_CACHE)/target
export RESOURCE_BROKER_CACHE CARGO_TARGET_DIR

TEST_ARGS ?=
# Random tests try the same each time, so that a change is judged by what it changes; `make nightly` tries others.
export PROPTEST_RNG_SEED ?= 20261129
# Tests on API servers mostly wait: more of them at once than there are cores.
RUST_TEST_THREADS ?= 8
PLUGINS := --manifest-path plugins/Cargo.toml
# guests COMMAND,ARGUMENTS: cargo for each plugin of the tests.
guests = $(foreach guest,probe stager,cargo $(1) --manifest-path tests/guests/$(guest)/Cargo.toml $(2) &&) true
CARGO_DENY_VERSION := 0.20.2

# step TEXT: a line that says what takes its time now.
step = @printf '\n==> %s\n' "$(1)"
# Always the whole workspace: a part of it would be built with other features, which means all of it anew.
build_all = cargo build --workspace --bins
# The clone that built last. Clones share what is built of dependencies; of its own sources cargo sees only that they are
# older than a build, and would take another clone's for this one's.
last_clone = $(CARGO_TARGET_DIR)/.last-clone
# Tests that need no API server, and are done in a minute: not the one that builds a new plugin.
fast = $(addprefix --test ,planner architecture crds docs migrate_command compiling hostile loading memory migration operation standard standard_migration)
# In front of what starts API servers.
with_assets = assets=$$(tests/harness/control-plane.sh); KUBEBUILDER_ASSETS="$$assets" RUST_TEST_THREADS=$(RUST_TEST_THREADS)

.PHONY: help
help: ## List what can be made
	@printf 'make TARGET, where TARGET is one of\n\n'
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)$$/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r target text; do printf '  %-12s %s\n' "$$target" "$$text"; done

##### Seeing it work

.PHONY: demo
demo: toolchain ## Act the whole story on real API servers; KEEP=1 leaves everything running
	$(call step,building the broker and the demo (some minutes the first time))
	@$(build_all)
	@$(with_assets) "$(CARGO_TARGET_DIR)/debug/resource-broker-demo" $(if $(KEEP),--keep)

.PHONY: demo-stop
demo-stop: toolchain ## End what `make demo KEEP=1` left running
	@$(build_all) --quiet
	@"$(CARGO_TARGET_DIR)/debug/resource-broker-demo" --stop

.PHONY: run
run: toolchain ## Run the broker from the sources, with ARGS="--flag …"
	@$(build_all) --quiet
	@"$(CARGO_TARGET_DIR)/debug/resource-broker" $(ARGS)

##### Building

.PHONY: build
build: toolchain ## Build the broker (PROFILE=release for one to ship)
	@$(build_all) --profile $(or $(PROFILE),dev)

.PHONY: codegen
codegen: toolchain ## Write crds/ from the types in host/api
	@$(build_all) --quiet
	@"$(CARGO_TARGET_DIR)/debug/resource-broker" crds --output crds

##### Measuring

.PHONY: bench
bench: toolchain ## Measure the sandbox against native code, and what each plugin costs
	$(call step,building the plugins and what measures them (some minutes the first time))
	@cargo build --workspace --bins --example measure
	@cargo build $(PLUGINS) --workspace --release --target wasm32-wasip2
	@cargo build $(PLUGINS) --profile native --package resource-broker-plugin-standard --example native
	$(call step,measuring)
	@"$(CARGO_TARGET_DIR)/debug/examples/measure" "$(CARGO_TARGET_DIR)/native/examples/native" \
		"$(CARGO_TARGET_DIR)"/wasm32-wasip2/release/resource_broker_plugin_*.wasm

##### Checking

.PHONY: test
test: toolchain ## Run every test; TEST_ARGS=name runs one
	$(call step,building the broker and all tests (some minutes the first time))
	@$(build_all)
	@cargo test --workspace --no-run
	$(call step,testing the plugins)
	@cargo test $(PLUGINS) --workspace --no-fail-fast $(TEST_ARGS)
	@$(if $(TEST_ARGS),,$(MAKE) test-plugins)
	$(call step,testing everything else)
	@$(with_assets) tests/run.sh $(TEST_ARGS)

# The plugins' own tests run natively: here the same cases are asked of the components, in the sandbox.
.PHONY: test-plugins
test-plugins: toolchain ## Run the plugins' cases in the sandbox
	$(call step,testing the plugins' components)
	@$(build_all) --quiet
	@cargo build $(PLUGINS) --workspace --release --target wasm32-wasip2
	@for cases in plugins/*/cases; do \
		plugin=$$(basename "$$(dirname "$$cases")"); \
		echo "$$plugin:"; \
		"$(CARGO_TARGET_DIR)/debug/resource-broker" plugin test \
			"$(CARGO_TARGET_DIR)/wasm32-wasip2/release/resource_broker_plugin_$${plugin//-/_}.wasm" "$$cases" || exit; \
	done

.PHONY: test-fast
test-fast: toolchain ## Run the tests that need no API server
	$(call step,building the tests that need no API server)
	@cargo test --workspace --lib --bins $(fast) --no-run
	@cargo test $(PLUGINS) --workspace --no-run
	$(call step,running them)
	@cargo test $(PLUGINS) --workspace --lib --tests --no-fail-fast $(TEST_ARGS)
	@cargo test --workspace --lib --bins $(fast) --no-fail-fast $(TEST_ARGS)

.PHONY: test-crash
test-crash: toolchain ## Kill the broker at every write, let every write fail, and compare the ends
	$(call step,building the broker and the tests)
	@$(build_all)
	$(call step,killing it wherever it writes (some minutes))
	@$(with_assets) cargo test --workspace --test e2e crash::

# The last commit whose records know objects by UID alone.
EARLIER ?= e17564e
earlier = $(RESOURCE_BROKER_CACHE)/earlier/$(EARLIER)
.PHONY: test-upgrade
test-upgrade: toolchain ## Start this release on what an earlier one left; EARLIER=commit chooses it
	$(call step,building the broker of $(EARLIER) (once; some minutes) and the tests)
	@if [ ! -x '$(earlier)/resource-broker' ]; then \
		mkdir -p '$(earlier)/source' && git archive $(EARLIER) | tar -x -C '$(earlier)/source'; \
		cd '$(earlier)/source' && CARGO_TARGET_DIR='$(earlier)/target' cargo build --bin resource-broker; \
		mv '$(earlier)/target/debug/resource-broker' '$(earlier)/' && rm -rf '$(earlier)/target' '$(earlier)/source'; \
	fi
	@$(build_all)
	@$(with_assets) RESOURCE_BROKER_EARLIER_BIN='$(earlier)/resource-broker' cargo test --workspace --test e2e upgrade::

.PHONY: test-e2e
test-e2e: toolchain ## Run the tests that need real API servers; TEST_ARGS=name runs one
	$(call step,building the broker and the tests)
	@$(build_all)
	@$(with_assets) cargo test --workspace --test control_planes --test issuer --test tutorial --test e2e $(TEST_ARGS)

# What they find is kept in proptest-regressions/, and is tried first from then on.
.PHONY: nightly
nightly: toolchain ## Run what takes long: an upgrade, and ten times as many random tests with another seed each time
	$(call step,building the random tests)
	@cargo test --workspace --lib --test planner --no-run
	@seed=$${SEED:-$$(date +%s)}; echo "seed $$seed: SEED=$$seed make nightly tries the same again"; \
		PROPTEST_RNG_SEED=$$seed PROPTEST_CASES=2560 cargo test --workspace --lib --test planner --no-fail-fast $(TEST_ARGS)
	@$(MAKE) test-upgrade

.PHONY: lint
lint: toolchain lint-format lint-rust lint-deny lint-shell ## Check format, clippy, licences and sources of dependencies, shell

.PHONY: lint-fix
lint-fix: toolchain ## Mend what rustfmt and clippy can mend
	@cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	@cargo clippy $(PLUGINS) --workspace --all-targets --fix --allow-dirty --allow-staged
	@cargo fmt --all
	@cargo fmt $(PLUGINS) --all
	@$(call guests,fmt)

.PHONY: check
check: toolchain lint-format check-codegen lint-rust lint-deny lint-shell test ## Everything that a change must pass

.PHONY: check-codegen
check-codegen: toolchain
	$(call step,comparing crds/ with the types)
	@$(build_all) --quiet
	@"$(CARGO_TARGET_DIR)/debug/resource-broker" crds --check crds || \
		{ echo 'crds/ is not what the types in host/api say: run "make codegen" and commit the result' >&2; exit 1; }

.PHONY: lint-format
lint-format: toolchain
	$(call step,checking the format)
	@{ cargo fmt --all --check && cargo fmt $(PLUGINS) --all --check && $(call guests,fmt,--check); } || \
		{ echo 'not formatted as rustfmt does: run "make lint-fix"' >&2; exit 1; }

.PHONY: lint-rust
lint-rust: toolchain
	$(call step,running clippy)
	@cargo clippy --workspace --all-targets -- --deny warnings
	@cargo clippy $(PLUGINS) --workspace --all-targets -- --deny warnings
	@$(call guests,clippy,--target wasm32-wasip2 -- --deny warnings)

# Known vulnerabilities come from a database on the network: where it cannot be had, the rest is still checked.
.PHONY: lint-deny
lint-deny: toolchain
	$(call step,checking dependencies)
	@tools="$(RESOURCE_BROKER_CACHE)/tools"; export PATH=$$tools/bin:$$PATH; \
	if ! command -v cargo-deny >/dev/null; then \
		echo 'installing cargo-deny (once; about five minutes on two cores)'; \
		CARGO_TARGET_DIR="$$tools/target" cargo install --quiet --locked --root "$$tools" cargo-deny@$(CARGO_DENY_VERSION); \
		rm -rf "$$tools/target"; \
	fi; \
	checks='bans licenses sources'; \
	limit=$$(command -v timeout >/dev/null && echo timeout 30 || true); \
	if $$limit cargo deny fetch db >/dev/null 2>&1; then checks="$$checks advisories"; \
	else echo 'advisories are not checked: their database could not be fetched within 30 s'; fi; \
	for manifest in Cargo.toml plugins/Cargo.toml; do \
		cargo deny --locked --manifest-path $$manifest --config deny.toml check --hide-inclusion-graph --allow license-exception-not-encountered $$checks; \
	done

.PHONY: lint-shell
lint-shell:
	$(call step,checking shell scripts)
	@for script in .ci/run tests/harness/control-plane.sh tests/run.sh; do bash -n $$script; done
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run tests/harness/control-plane.sh tests/run.sh; \
	else echo 'only their syntax: shellcheck is not installed'; fi

# rustup may have been told not to install by itself what rust-toolchain.toml asks for.
.PHONY: toolchain
toolchain:
	@channel=$$(sed -n 's/^channel = "\(.*\)"$$/\1/p' rust-toolchain.toml); target=wasm32-wasip2; \
	missing() { echo "$$*" >&2; exit 1; }; \
	command -v cc >/dev/null || missing 'no C linker: install a C compiler (Debian: apt install gcc libc6-dev; macOS: xcode-select --install)'; \
	if command -v rustup >/dev/null; then \
		if ! rustup target list --toolchain $$channel --installed 2>/dev/null | grep -x $$target >/dev/null || \
			! rustup component list --toolchain $$channel --installed 2>/dev/null | grep ^clippy >/dev/null; then \
			echo "installing Rust $$channel with the target $$target (once)"; \
			rustup toolchain install $$channel --no-self-update --profile minimal --component clippy,rustfmt --target $$target; \
		fi; \
	elif [ ! -d "$$(rustc --print target-libdir --target $$target 2>/dev/null)" ]; then \
		missing "no Rust $$channel with the target $$target: install rustup (https://rustup.rs), which gets both"; \
	fi
	@if [ "$$(cat '$(last_clone)' 2>/dev/null)" != '$(CURDIR)' ]; then \
		find . \( -name target -o -name .git \) -prune -o -type f \( -name '*.rs' -o -name '*.wit' \) -exec touch {} +; \
		mkdir -p '$(CARGO_TARGET_DIR)'; echo '$(CURDIR)' > '$(last_clone)'; \
	fi
