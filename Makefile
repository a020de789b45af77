# What people, CI and CodeBuild call. Everything runs in .venv, which is made from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHECKOV := .venv-checkov
ASL := tests/asl/node_modules
# For two cores: a test often waits for a process of its own.
JOBS ?= 3
# Where it is set, each of many hundred processes would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test check golden bench lock clean

help:  ## this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## (.*)/make \1\t\2/; s/%/NAME/' | expand -t 16

setup: $(VENV)/ready  ## make .venv from requirements.lock
$(VENV)/ready: requirements.lock
	@test ! -L $(VENV) || { echo "$(VENV) is a link: remove it, or make what it points to" >&2; exit 3; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# checkov pins its own boto3 and more, so it lives alone.
$(CHECKOV)/ready: requirements-checkov.lock
	$(PYTHON) -m venv --clear $(CHECKOV)
	$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-checkov.lock
	@touch $@

# Two linters of state machines are on npm alone.
$(ASL)/ready: tests/asl/package-lock.json
	npm ci --prefix tests/asl --silent --no-audit --no-fund
	@touch $@

demo: setup  ## the whole pipeline on this computer, twice: with good models, then with promoted ones
	@echo "== The workflow: build/workflow.html"
	@$(BIN)/python pipeline.py graph -o build/workflow.html
	@echo; echo "== First run: every model is good enough"
	@$(BIN)/python pipeline.py run --data demo/*.csv --note "the demo's first run"
	@echo; echo "== Its models become the defaults"
	@$(BIN)/python pipeline.py promote latest
	@echo; echo "== Second run: no model may err by more than 150 g, so the promoted ones predict"
	@$(BIN)/python pipeline.py run --data demo/*.csv --threshold 150 --note "the demo's second run"
	@echo; echo "== The mail about its models"
	@cat "$$(ls .local/outbox/*-models-*.eml | tail -n 1)"
	@echo; echo "== The first predictions"
	@grep -m 4 -E '"(verdict|accepted|rejected)"$$' "$$(ls -dt .local/runs/*/ | head -n 1)predictions.csv"

demo-mnist: setup  ## handwritten digits as files, with a container of your own (needs buildah, bubblewrap and root)
	@command -v buildah >/dev/null && command -v bwrap >/dev/null || \
		{ echo "make demo-mnist runs a container: apt-get install buildah bubblewrap, and call it as root" >&2; exit 3; }
	@$(BIN)/python pipeline.py run --config demo/mnist/pipeline-config.yml --data demo/mnist/digits.tar.gz
	@echo; echo "== The first predictions"
	@head -n 4 "$$(ls -dt .local/runs/*/ | head -n 1)predictions.csv"
	@echo; echo "== The endpoint's answer to the first of these images"
	@tar -xzOf demo/mnist/digits.tar.gz 1597.pgm | curl --silent --noproxy '*' --data-binary @- -H 'Content-Type: image/x-portable-graymap' \
		"$$($(BIN)/python -c 'import json; print(json.load(open(".local/server.json"))["endpoint"])')/endpoints/mnist-digits/invocations"
	@echo; $(BIN)/python pipeline.py local down --config demo/mnist/pipeline-config.yml

demo-%: setup  ## the demo in demo/NAME: churn (two classes) or houses-xgboost (SageMaker's XGBoost)
	@$(BIN)/python pipeline.py run --config demo/$*/pipeline-config.yml --data demo/$*/*.csv
	@echo; echo "== The first predictions"
	@grep -m 4 -E '"(accepted|verdict)"$$' "$$(ls -dt .local/runs/*/ | head -n 1)predictions.csv"

test: setup  ## run all tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

check: setup $(CHECKOV)/ready $(if $(shell command -v npm),$(ASL)/ready)  ## formatting, lint, types, and linters for what is generated
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tests/lint_definitions.py
	$(BIN)/python tests/lint_templates.py
	$(BIN)/shellcheck .ci/run docker/build.sh
	@! command -v $(BIN)/hadolint >/dev/null || $(BIN)/hadolint docker/*/Dockerfile

golden: setup  ## write anew what the golden tests expect; read the diff
	GOLDEN=write $(BIN)/python -m pytest -q tests/test_golden.py tests/test_errors.py tests/test_readme.py \
		tests/deploy/test_plan.py tests/policies/test_verified.py

bench: setup  ## measure; prints ratios
	$(BIN)/python benchmarks/compile.py
	$(BIN)/python benchmarks/jobs.py
	$(BIN)/python benchmarks/local.py nothing
	$(BIN)/python benchmarks/local.py real
	$(BIN)/python benchmarks/algorithms.py xgboost
	$(BIN)/python benchmarks/algorithms.py transform

lock: setup  ## resolve the dependencies anew (needs uv)
	uv pip compile --universal --python-version 3.10 --generate-hashes --no-header --no-emit-index-url \
		--extra dev --no-emit-package stepgluon pyproject.toml -o requirements.lock
	echo checkov | uv pip compile --universal --python-version 3.10 --generate-hashes --no-header --no-emit-index-url \
		- -o requirements-checkov.lock
	$(MAKE) setup
	$(BIN)/python docker/update.py

clean:  ## remove everything that is made
	rm -rf $(VENV) $(CHECKOV) $(ASL) build .local
