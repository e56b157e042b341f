# The commands of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The Python of .venv, else the first one that Placet supports. `make setup PYTHON=...` selects another.
ifndef PYTHON
PYTHON := $(shell for candidate in .venv/bin/python3 python3 python3.13 python3.12 python3.11; do "$$candidate" -c 'import sys; \
	sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && command -v "$$candidate" && break; done)
endif
export PYTHON
BIN := .venv/bin
RUN := $(BIN)/python -m
SHELL_FILES := .ci/run $(wildcard deploy/tools/*.sh deploy/compose/*.sh tests/compose/*.sh)
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: help setup run test check fmt lint types proto sync-sdk proto-check rego bench bench-peers bench-growth demo dist docs docs-site pictures soak compose-test sidecar sidecar-files sbom audit lock clean \
	serving venv tool-opa tool-opa-static tool-regal tool-kustomize tool-ghz need-python need-shellcheck

help: ## Print every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Create .venv and install the pinned tools (fast when nothing changed)
	@$(MAKE) --jobs=3 venv tool-opa tool-regal

serving: # only what a server needs, without the linter
	@$(MAKE) --jobs=2 venv tool-opa

run: serving ## Start a server, replay the demonstration, keep running
	@$(BIN)/placet demo

demo: serving ## Start a server, replay the demonstration, exit
	@$(BIN)/placet demo --exit

# Four at a time, also on two cores: tests wait for servers and clocks more than they compute.
test: setup tool-opa-static tool-kustomize ## Run all tests except the soak tests
	@$(RUN) pytest --numprocesses=4 --dist=loadfile

check: setup lint types proto-check rego test ## Run every check that must pass before a commit

fmt: setup ## Format Python, protos and Rego
	@$(RUN) ruff check --fix-only --quiet
	@$(RUN) ruff format
	@$(BIN)/buf format --write proto
	@.tools/bin/opa fmt --write rego

lint: setup need-shellcheck ## Check style, imports between packages, words of texts, shell scripts
	@$(RUN) ruff format --check
	@$(RUN) ruff check
	@$(BIN)/lint-imports
	@$(BIN)/python deploy/tools/sync_sdk.py --check
	@$(BIN)/python deploy/tools/words.py
	@shellcheck $(SHELL_FILES)

types: setup ## Check types
	@$(RUN) mypy

proto: setup ## Generate server/placet/v1 from proto
	@deploy/tools/proto.sh generate

sync-sdk: setup ## Generate the SDK's blocking clients from the asyncio ones
	@$(BIN)/python deploy/tools/sync_sdk.py

proto-check: setup ## Check the protos: style, format, compatibility, generated code
	@$(BIN)/buf lint proto
	@$(BIN)/buf format --diff --exit-code proto
	@deploy/tools/proto.sh breaking
	@deploy/tools/proto.sh drift

rego: setup ## Check and test the policies
	@$(BIN)/placet policy check
	@.tools/bin/opa fmt --fail --list deploy/opa
	@.tools/bin/opa check --strict deploy/opa

bench: setup tool-ghz ## Run the benchmark; its results are ratios within one run. AGAINST=<folder> adds another checkout
	@$(RUN) tests.bench $(if $(AGAINST),--against $(AGAINST))

bench-peers: setup tool-ghz ## Compare with Cerbos and OPA. Needs npm. AGAINST=<folder> adds another checkout
	@$(RUN) tests.bench --only peers --output .cache/bench-peers.json $(if $(AGAINST),--against $(AGAINST))

bench-growth: setup tool-ghz ## Measure growth: rules, tenants, past decisions, open approvals, memory. Takes a quarter of an hour
	@$(RUN) tests.bench --only growth full memory reload --output .cache/bench-growth.json

docs: setup ## Test the documentation against the code
	@$(RUN) pytest tests/docs

docs-site: setup ## Build the documentation as a site in .cache/site
	@deploy/tools/mermaid.sh
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file deploy/docs/mkdocs.yml
	@echo "docs-site: .cache/site/index.html"

pictures: setup ## Draw the terminal pictures of the documentation
	@$(BIN)/python deploy/tools/pictures.py

compose-test: setup sidecar-files ## Start deploy/compose.yaml and try it. Needs the Docker engine and Compose
	@$(RUN) pytest -m compose tests/compose

sidecar: sidecar-files ## Build the container image of OPA with the policies in rego
	@docker build --quiet --file deploy/opa.Dockerfile --tag placet-opa .tools/sidecar

sidecar-files: setup
	@$(BIN)/python deploy/tools/sidecar.py .tools/sidecar

dist: setup ## Build the distributions placet and placet-sdk into dist
	@$(RUN) build --outdir dist
	@$(RUN) build --wheel --outdir dist deploy/sdk

soak: setup ## Run the soak tests, which repeat tests with high counts. Takes an hour on two idle cores
	@$(RUN) pytest -m soak --timeout=3600 --numprocesses=3 --durations=0

sbom: setup ## Write the software bill of materials, CycloneDX, to .cache/sbom.json
	@$(BIN)/python deploy/tools/sbom.py .cache/sbom.json

audit: setup ## Look up known vulnerabilities of all locked packages. Needs the network
	@$(BIN)/python deploy/tools/audit.py $(AUDIT_OPTIONS)

lock: setup ## Generate the lock files
	@deploy/tools/lock.sh

clean: ## Remove what setup, tests and builds created
	@rm -rf .venv .tools .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* dist
	@find server tests deploy -name __pycache__ -prune -exec rm -rf {} +

venv: need-python
	@$(PYTHON) deploy/tools/environment.py

tool-opa tool-opa-static tool-regal tool-kustomize tool-ghz: need-python
	@$(PYTHON) deploy/tools/fetch.py $(@:tool-%=%)

need-python:
	@test -n "$(PYTHON)" || { echo "setup: no Python 3.11 to 3.13 found. Remedy: install one (Debian 12: apt-get install python3 python3-venv), or select it: make PYTHON=/path/to/python3" >&2; exit 1; }

need-shellcheck:
	@command -v shellcheck >/dev/null || { echo "lint: shellcheck is not installed. Remedy: apt-get install shellcheck" >&2; exit 1; }
