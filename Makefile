# One command each. `make help` lists them; CONTRIBUTING.md says when to use which.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SWIFT ?= swift
# Leave empty to link the Swift runtime dynamically.
LINK ?= --static-swift-stdlib
RELEASE := .build/release/openclaw
# Length of one fuzz target's run; how long CI spends is said in .ci/run. (Not exported: SECONDS is a variable of the shell itself.)
SECONDS := 60
unexport SECONDS
# QUICK=1: one round instead of three, no LiteLLM. PERF_ARGS: anything perf/run.py takes, e.g. PERF_ARGS="--only plain-64 --peers nginx".
QUICK ?=
PERF_ARGS ?=
RESILIENCE_ARGS ?=
# Extra arguments for swift test, e.g. TEST_ARGS="--filter ClawWireTests"; PYTEST_ARGS likewise.
TEST_ARGS ?=
PYTEST_ARGS ?=
# make sim: STORMS storms of STORM_REQUESTS requests each and SEEDS plays by chance; STORM=n or SEED=n plays one again.
STORMS ?= 10000
STORM_REQUESTS ?= 1000
STORM ?=
SEEDS ?= 1000
SEED ?=
RUN_ARGS ?=
BENCH_ARGS ?=
# What the sanitizer passes run: every suite that has threads, sockets or unsafe pointers in it.
SANITIZED ?= CClawTests|ClawWireTests|ClawPolicyTests|ClawEngineTests|SimulationTests|ClawLoadTests

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: setup
setup: ## install what is missing (system packages by apt) and check the toolchain
	@scripts/setup.sh

.PHONY: build
build: setup ## release build of the gateway
	$(SWIFT) build -c release --product openclaw $(LINK)

.PHONY: run
run: build ## start the gateway: with the built-in mock model, or with OpenAI when OPENAI_API_KEY is set
	@exec $(RELEASE) serve --demo $(RUN_ARGS)

.PHONY: test
test: ## every test: Swift, then the integration tests over real sockets
	@scripts/setup.sh tests
	$(SWIFT) build --product openclaw
	$(SWIFT) test $(TEST_ARGS)
	@if compgen -G 'Tests/Integration/test_*.py' >/dev/null; then \
	    OPENCLAW="$${OPENCLAW:-$$PWD/.build/debug/openclaw}" Tests/.venv/bin/python -m pytest -q Tests/Integration $(PYTEST_ARGS); \
	fi
	@python3 scripts/fault-coverage.py

.PHONY: test-asan
test-asan: setup ## tests under the address sanitizer
	SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 $(SWIFT) test --sanitize=address --scratch-path .build/asan --filter '$(SANITIZED)|ClawDialectTests'

.PHONY: test-tsan
test-tsan: setup ## tests under the thread sanitizer
	SWIFT_BACKTRACE=enable=no $(SWIFT) test --sanitize=thread --scratch-path .build/tsan --filter '$(SANITIZED)'

.PHONY: sim
sim: setup ## whole workers under a scripted kernel: STORMS=10000 storms, SEEDS=1000 plays; STORM=n, SEED=n plays one again
	OPENCLAW_STORMS=$(STORMS) OPENCLAW_STORM_REQUESTS=$(STORM_REQUESTS) $(if $(STORM),OPENCLAW_STORM=$(STORM)) OPENCLAW_SEEDS=$(SEEDS) $(if $(SEED),OPENCLAW_SEED=$(SEED)) \
	    $(SWIFT) test -c release -Xswiftc -enable-testing --scratch-path .build/sim --filter '$(if $(STORM),StormTests,$(if $(SEED),SeededTests,SimulationTests))'

.PHONY: fuzz
fuzz: setup ## every parser's fuzz target for SECONDS=60 each
	@scripts/fuzz.sh $(SECONDS)

.PHONY: bench
bench: setup ## micro-benchmarks and their thresholds (BENCH_ARGS, e.g. "--filter JSON.*")
	@cd Benchmarks && $(SWIFT) package --disable-sandbox benchmark run --no-progress $(BENCH_ARGS)
	@cd Benchmarks && $(SWIFT) package --disable-sandbox benchmark thresholds check --no-progress $(BENCH_ARGS)

.PHONY: perf
perf: ## the gateway beside nginx, HAProxy, Envoy, … from one run (QUICK=1: under 3 minutes)
	@scripts/setup.sh perf
	$(SWIFT) build -c release --product openclaw $(LINK)
	@python3 perf/run.py $(if $(QUICK),--quick) $(PERF_ARGS)

.PHONY: resilience
resilience: ## what clients notice when providers fail: brown-outs, a storm of 429 (about 2 minutes; RESILIENCE_ARGS="--quick")
	$(SWIFT) build -c release --product openclaw $(LINK)
	@python3 perf/resilience.py $(RESILIENCE_ARGS)

.PHONY: reference
reference: ## docs/configuration.md from the option tables
	$(SWIFT) build --product openclaw
	.build/debug/openclaw check --reference > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md

.PHONY: docs
docs: setup ## HTML reference of the library targets in .build/docs
	@scripts/docs.sh

.PHONY: clean
clean: ## remove everything that was built or installed into the tree
	rm -rf .build Benchmarks/.build Tests/.venv perf/.venv perf/.work
