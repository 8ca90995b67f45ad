# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv/ first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test scale lint requirements clean

help: ## List the commands.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

demo: $(READY) ## Push sample radiographs through the whole service on this machine.
	@$(BIN)/pneumo demo

test: lint ## Lint, types, import rules and every test whose services are on this machine.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

scale: $(READY) ## Page latency and export memory at 100,000 predictions; wants PostgreSQL and a quiet machine.
	@PNEUMO_REQUIRE_SERVICES=1 $(BIN)/python -m pytest -m scale -s

lint: $(READY) ## Lint, types and import rules alone.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

requirements: $(READY) ## Pin again what pyproject.toml asks for.
	@for extra in listener api worker dev; do \
	  $(BIN)/uv pip compile pyproject.toml --extra $$extra --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --no-header --python-version 3.11 --quiet --output-file requirements/$$extra.txt; done

clean: ## Remove the environment and what demo runs left.
	@rm -rf $(VENV) pneumo-demo build *.egg-info

$(READY): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=python3.12 demo"; exit 1; }
	@echo "Making $(VENV)/ (PyTorch with CUDA is several GB; this is done once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --system-certs --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --system-certs --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)
