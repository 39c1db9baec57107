# Everything a fresh machine needs: python3 and make. See README.md.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Test processes, each with servers of its own. More than two cores' worth: tests of whole systems often wait.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test pictures check lint types format bench clean

help: ## List the targets.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Installed once; again whenever the dependencies change.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) is there; give another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[embedded,exports,javascript,notebooks,reports,reports-cjk,dev]'
	touch $@

demo: $(VENV)/.installed ## The whole system with a tablet, REDCap and mails (ARGS=--exit ends instead of running on).
	$(BIN)/python -m tests.demo_servers $(BIN)/sync-server demo $(ARGS)

# In the order of their names: by default files of few tests come last, and those of whole systems take longest.
test: $(VENV)/.installed ## All tests, on real servers (ARGS=… goes to pytest, WORKERS=0 is one process).
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

pictures: $(VENV)/.installed ## Pictures of the portal's pages, made by its tests, into docs/portal/.
	PICTURES=1 $(BIN)/python -m pytest tests/browser $(ARGS)

check: lint types ## Lint, format and types.

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

format: $(VENV)/.installed ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed ## The end-to-end benchmark.
	$(BIN)/python -m benchmarks end_to_end $(ARGS)

clean: ## Remove what was installed and built.
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache tests/interop/node_modules tests/browser/node_modules
