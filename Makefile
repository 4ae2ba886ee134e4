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
# Runs a step without its output, unless it fails. What to try then, by the tool that failed:
QUIETLY := devtools/quietly
TRY_PIP := is the index of Python packages reachable ($(BIN)/pip config list)? Remove $(VENV) and run make install again
TRY_NPM := is the npm registry reachable ($(BIN)/npm config get registry)? Then run the same make command again
NPM_CI := PATH="$(CURDIR)/$(BIN):$$PATH" $(QUIETLY) "Installing npm packages" "$(TRY_NPM)" \
  $(BIN)/npm ci --ignore-scripts --no-fund --no-audit --prefix
APT_INSTALL := devtools/apt-install

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements/dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing the Python packages into $(VENV) (a minute or two, once) ..."
	@started=$$SECONDS && \
	  $(QUIETLY) "Making $(VENV)" "does $(PYTHON) have its venv module? On Debian: apt-get install python3.11-venv" \
	    $(PYTHON) -m venv $(VENV) && \
	  $(QUIETLY) "Installing the Python packages" "$(TRY_PIP)" \
	    $(BIN)/pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements/dev.txt && \
	  touch $@ && echo "Installed in $$((SECONDS - started)) s"

install: $(READY)  ## install the packages into .venv

run: $(READY)  ## the whole system on this machine; Ctrl-C stops it
	@$(BIN)/python -m deploy.local.run

demo: $(READY)  ## a scripted AR renews three certificates on the running system, or on its own
	@$(BIN)/python -m devtools.scenario

drill: $(READY)  ## kill everything in the middle of 50 renewals and count what became of them
	@$(BIN)/python -m devtools.scenario.crash_drill

drill-restore: $(READY)  ## lose each database in turn amid renewals, restore it, recover, and compare; many minutes
	@$(BIN)/python -m devtools.scenario.restore_drill

DAY ?= 2027-03-15
rehearse: $(READY)  ## issue with every clock set around the midnight at which rules change: make rehearse DAY=2027-03-15
	@$(BIN)/python -m devtools.scenario.date_rehearsal $(DAY) $(OPTIONS)

reconcile: $(READY)  ## compare what services, topics, provider and mail server of the running system say of each renewal
	@$(BIN)/python -m deploy.local.reconcile

check: $(READY)  ## formatting, lint, types, language, import contracts
	@$(QUIETLY) "The formatting" "$(BIN)/ruff format ." $(BIN)/ruff format --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python -m devtools.language
	@QUIETLY_LINES=60 $(QUIETLY) "An import contract" "the contracts are in pyproject.toml, tool.importlinter" \
	  $(BIN)/lint-imports --no-logo

test: $(READY) $(SCHEMAS)  ## every test but slow, nightly, browser and container ones
	@(PATH="$$PATH:/usr/sbin"; for each in cc certtool curl softhsm2-util unbound knotd kzonesign; do \
	    command -v $$each >/dev/null || exit 1; done) \
	  || { [ "$$(id -u)" = 0 ] && $(APT_INSTALL) curl gcc gnutls-bin libc6-dev softhsm2 unbound knot knot-dnssecutils; } \
	  || echo "cc, certtool, curl, softhsm2, unbound or knot is missing: tests that need one are left out"
	@# Two workers keep two cores busy: much of a test's time is waiting for an engine.
	@started=$$SECONDS; $(BIN)/python -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder \
	  -m "not slow and not nightly" $(addprefix --ignore tests/,browser containers); \
	  result=$$?; echo "All tests took $$((SECONDS - started)) s"; exit $$result

test-browser: browsers  ## the portal and the desk in a real Chromium, on the whole system
	@$(BIN)/python -m pytest -q -m "not slow and not nightly" tests/browser

test-slow: browsers  ## long runs: the whole system killed in the middle of many renewals; other browsers, every page; the images
	@command -v promtool >/dev/null || { [ "$$(id -u)" = 0 ] && $(APT_INSTALL) prometheus; } \
	  || { echo "promtool is needed: apt-get install prometheus"; exit 1; }
	@command -v cc >/dev/null || { [ "$$(id -u)" = 0 ] && $(APT_INSTALL) gcc libc6-dev; } \
	  || { echo "A C compiler is needed: apt-get install gcc libc6-dev"; exit 1; }
	@$(BIN)/python -m pytest -q -m "slow and not nightly"

nightly: $(READY)  ## what takes too long for every change: growth to millions of rows, long drills, mutants
	@$(BIN)/python -m pytest -q -m nightly
	@$(BIN)/python -m tests.mutants

mutants: $(READY)  ## plant known faults one at a time in a copy of the tree: the suite must find each
	@$(BIN)/python -m tests.mutants

BROWSER_TOOLS := tests/browser/tools/node_modules/.package-lock.json

$(BROWSER_TOOLS): tests/browser/tools/package-lock.json $(READY)
	@echo "Installing what the browser tests run (once) ..."
	@$(NPM_CI) tests/browser/tools
	@touch $@

browsers: $(BROWSER_TOOLS)  ## install the browsers and tools of these tests: as root by apt
	@$(BIN)/python -m tests.browser.programs

screenshots: browsers  ## pictures of every page of the portal, in every language, and of the desk, in .local/screenshots, to look at
	@$(BIN)/python -m tests.browser.pages.screenshots

containers: $(READY) $(SCHEMAS)  ## build every image, look into it, and take a renewal through all of them; as root
	@$(BIN)/python -m pytest -q -s tests/containers

bench: $(READY)  ## measure: latency beside raw Kafka, throughput, counts per renewal
	@$(BIN)/python -m benchmarks

docs: $(READY)  ## write what is generated from the code: events, APIs, settings, commands, states, gateways, capacity
	@$(BIN)/python -m devtools.docs && $(BIN)/python -m benchmarks.capacity

$(ASSETS) $(SCHEMAS): %/node_modules/.package-lock.json: %/package-lock.json $(READY)
	@$(NPM_CI) $*
	@touch $@

assets: $(ASSETS)  ## build the portal's stylesheet and signing script from portal/assets
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix portal/assets run --silent build

# First dev.txt; all others hold to it: what the images run is what the tests ran. common.txt is what every service has.
COMPILE := $(QUIETLY) "Resolving the dependencies" "$(TRY_PIP)" \
  $(BIN)/uv pip compile --generate-hashes --no-header --no-annotate --universal --python-version 3.11

lock: $(READY)  ## resolve the dependencies again into requirements/*.txt, with hashes
	@$(COMPILE) pyproject.toml --extra dev --output-file requirements/dev.txt
	@$(COMPILE) pyproject.toml --constraints requirements/dev.txt --output-file requirements/common.txt
	@for extra in identity application payment payment-sandbox mailing issuance perspective portal desk local; do \
	  $(COMPILE) pyproject.toml --extra $$extra --constraints requirements/dev.txt --output-file requirements/$$extra.txt || exit 1; done
	@$(COMPILE) --group sbom --output-file requirements/sbom.txt

.PHONY: help install run demo drill drill-restore rehearse reconcile check test test-browser browsers screenshots test-slow nightly mutants containers bench docs assets lock
