# The commands of the README and the few that a contributor needs. Python 3.11 to 3.13 is all that must be installed;
# `test-real` installs the rest itself.

SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin

# The first interpreter that runs, is a version that the lock supports, and can create a virtual environment.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		>/dev/null 2>&1 && { echo "$$python"; break; }; done)

PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-21s %s\n", $$1, $$2 }'

.PHONY: demo
demo: $(VENV)/ready ## Run a whole flash sale on an embedded stack, then the audit of its books
	@$(BIN)/holdfast demo

.PHONY: quick
quick: $(VENV)/ready ## Run what takes about a minute: format, types, imports, unit and contract
	@$(BIN)/tox run -e lint,types,arrows,unit,contract

.PHONY: test
test: $(VENV)/ready ## Run every check, and every test on embedded servers
	@$(BIN)/tox run

.PHONY: faults
faults: $(VENV)/ready ## Set Redis, PostgreSQL and Kafka back or blank under load, in every combination
	@$(BIN)/tox run -e faults

.PHONY: compare
compare: $(VENV)/ready ## Put Holdfast beside six other ways to sell a stock: what each sells, takes and loses (COMPARE=--help)
	@$(BIN)/python -m bench.strategies $(COMPARE)

.PHONY: test-packaging
test-packaging: $(VENV)/ready ## Build the wheel and try it in empty environments
	@$(BIN)/tox run -e packaging

.PHONY: test-real
test-real: $(VENV)/ready ## Run the tests on Redis, PostgreSQL and Apache Kafka, which it installs (Debian)
	@$(BIN)/tox run -e real

.PHONY: bench
bench: $(VENV)/ready ## Put each shape of load on a stack of its own, and show what came of it on a page (ghz)
	@outcome=0; $(BIN)/python -m bench.suite || outcome=1; $(BIN)/python -m bench.page && exit $$outcome

.PHONY: lint
lint: $(VENV)/ready ## Run the checks without the tests
	@$(BIN)/tox run -e lint,types,arrows,protos,lua

.PHONY: format
format: $(VENV)/ready ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

.PHONY: protos
protos: $(VENV)/ready ## Generate the Python stubs from protos/
	@$(BIN)/python protos/compile.py stubs

.PHONY: topics-page
topics-page: $(VENV)/ready ## Write docs/topics.md from protos/
	@$(BIN)/python protos/topics_page.py page

.PHONY: go-stubs
go-stubs: $(VENV)/ready ## Generate the Go stubs from protos/ (Go)
	@$(BIN)/python clients/go/generate_stubs.py stubs

.PHONY: typescript-stubs
typescript-stubs: $(VENV)/ready ## Generate the TypeScript stubs from protos/ (Node.js)
	@cd clients/typescript && npm ci && npm run stubs

.PHONY: setup
setup: $(VENV)/ready ## Create .venv from requirements.lock

.PHONY: lock
lock: ## Update requirements.lock and constraints.txt to the newest versions
	@$(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip --quiet install uv
	@$(VENV)-lock/bin/uv pip compile pyproject.toml --extra embedded --group dev --upgrade --generate-hashes \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--no-header --no-emit-index-url --quiet --output-file requirements.lock
	@rm -rf $(VENV)-lock
	@{ sed -n '1p' constraints.txt; sed -n 's/^\([A-Za-z0-9._-]*==[^ \\;]*\).*/\1/p' requirements.lock; } > $(VENV)-constraints
	@mv $(VENV)-constraints constraints.txt

.PHONY: clean
clean: ## Remove what the other targets made
	@rm -rf $(VENV) $(VENV)-lock .real .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@rm -rf bench/results clients/typescript/node_modules clients/typescript/dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Every package at its locked version and hash. After a change of the lock .venv is created from nothing.
$(VENV)/locked: requirements.lock
	@test -n "$(PYTHON)" || { echo "Holdfast needs Python 3.11, 3.12 or 3.13 with its venv module; none was found." >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version) and $$(grep -c '^[a-z]' requirements.lock) locked packages; about half a minute ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --only-binary :all: --require-hashes --requirement requirements.lock
	@touch $@

# Holdfast itself, run from this folder.
$(VENV)/ready: $(VENV)/locked pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "$(VENV) is ready."
