# Every command a person runs. Given: Python 3.11, make, openssl, git.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
ASSETS := portal/assets/node_modules/.package-lock.json
# Types of the operators' custom resources, for the tests of deploy/k8s.
SCHEMAS := tests/contract/k8s/schemas/node_modules/.package-lock.json

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements/dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing the Python packages into $(VENV) (a minute or two, once) ..."
	@started=$$SECONDS && $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt && \
	  touch $@ && echo "Installed in $$((SECONDS - started)) s"

install: $(READY)  ## install the packages into .venv

run: $(READY)  ## the whole system on this machine; Ctrl-C stops it
	@$(BIN)/python -m deploy.local.run

demo: $(READY)  ## a scripted AR renews three certificates on the running system, or on its own
	@$(BIN)/python -m deploy.demo

drill: $(READY)  ## kill everything in the middle of 50 renewals and count what became of them
	@$(BIN)/python -m deploy.demo.drill

drill-restore: $(READY)  ## lose each database in turn amid renewals, restore it, recover, and compare; many minutes
	@$(BIN)/python -m deploy.demo.restore_drill

reconcile: $(READY)  ## compare what services, topics, provider and mail server of the running system say of each renewal
	@$(BIN)/python -m deploy.local.reconcile

check: $(READY)  ## formatting, lint, types, language, import contracts
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python -m devtools.language
	@$(BIN)/lint-imports --no-logo | tail -n 3

test: $(READY) $(SCHEMAS)  ## every test but the slow ones and those in a browser
	@command -v curl >/dev/null && command -v softhsm2-util >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq install -y curl softhsm2 >/dev/null; } \
	  || echo "curl or softhsm2 is missing: the tests that read the feed with curl, or sign in a token, are left out"
	@# Two workers keep two cores busy: much of a test's time is waiting for an engine.
	@started=$$SECONDS; $(BIN)/python -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder \
	  -m "not slow and not nightly" $(addprefix --ignore tests/,browser containers); \
	  result=$$?; echo "All tests took $$((SECONDS - started)) s"; exit $$result

test-browser: browsers  ## the portal and the desk in a real Chromium, on the whole system
	@$(BIN)/python -m pytest -q -m "not slow and not nightly" tests/browser

test-slow: browsers  ## long runs: the whole system killed in the middle of many renewals; other browsers, every page; the images
	@command -v promtool >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq install -y prometheus >/dev/null; } \
	  || { echo "promtool is needed: apt-get install prometheus"; exit 1; }
	@$(BIN)/python -m pytest -q -m "slow and not nightly"

nightly: $(READY)  ## what takes too long for every change: growth to millions of rows, long drills, mutants
	@$(BIN)/python -m pytest -q -m nightly
	@$(BIN)/python -m tests.mutants

mutants: $(READY)  ## plant known faults one at a time in a copy of the tree: the suite must find each
	@$(BIN)/python -m tests.mutants

BROWSER_TOOLS := tests/browser/tools/node_modules/.package-lock.json

$(BROWSER_TOOLS): tests/browser/tools/package-lock.json $(READY)
	@echo "Installing what the browser tests run (once) ..."
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix tests/browser/tools ci --ignore-scripts --no-fund --no-audit --silent
	@touch $@

browsers: $(BROWSER_TOOLS)  ## install the browsers and tools of these tests: as root by apt
	@$(BIN)/python -m tests.browser.programs

screenshots: browsers  ## pictures of every page of the portal, in every language, and of the desk, in .local/screenshots, to look at
	@$(BIN)/python -m tests.browser.pages.screenshots

containers: $(READY) $(SCHEMAS)  ## build every image, look into it, and take a renewal through all of them; as root
	@$(BIN)/python -m pytest -q -s tests/containers

bench: $(READY)  ## measure: latency beside raw Kafka, throughput, counts per renewal
	@$(BIN)/python -m benchmarks

docs: $(READY)  ## write what is generated from the code: event schemas, state drawing, gateways, capacity
	@$(BIN)/python -m deploy.documents && $(BIN)/python -m benchmarks.capacity

$(ASSETS) $(SCHEMAS): %/node_modules/.package-lock.json: %/package-lock.json $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix $* ci --ignore-scripts --no-fund --no-audit --silent
	@touch $@

assets: $(ASSETS)  ## build the portal's stylesheet and signing script from portal/assets
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix portal/assets run --silent build

# First dev.txt; all others hold to it: what the images run is what the tests ran. common.txt is what every service has.
COMPILE := $(BIN)/uv pip compile --generate-hashes --no-header --no-annotate --universal --python-version 3.11 --quiet

lock: $(READY)  ## resolve the dependencies anew into requirements/*.txt, with hashes
	@$(COMPILE) pyproject.toml --extra dev --output-file requirements/dev.txt
	@$(COMPILE) pyproject.toml --constraints requirements/dev.txt --output-file requirements/common.txt
	@for extra in identity application payment mailing issuance portal desk local; do \
	  $(COMPILE) pyproject.toml --extra $$extra --constraints requirements/dev.txt --output-file requirements/$$extra.txt || exit 1; done
	@$(COMPILE) --group sbom --output-file requirements/sbom.txt

.PHONY: help install run demo drill drill-restore reconcile check test test-browser browsers screenshots test-slow nightly mutants containers bench docs assets lock
