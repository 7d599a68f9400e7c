PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help

help: ## Show the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything that Quipu needs

$(READY): pyproject.toml images/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Quipu needs Python 3.11 to 3.13; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check -c images/constraints.txt -e '.[dev]'
	@touch $@

run: $(READY) ## Run the main job: portfolio, pipeline, report, one scored application
	@$(BIN)/quipu run

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

compile: $(READY) ## Compile the components and pipelines to YAML again
	$(BIN)/python -m pipelines.compiled

constraints: $(READY) ## Pin the newest versions that fit together
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --upgrade --no-header --no-annotate \
	  --output-file images/constraints.txt pyproject.toml

clean: ## Remove .venv, runs and build results
	rm -rf .venv runs build

.PHONY: help setup run test lint compile constraints clean
