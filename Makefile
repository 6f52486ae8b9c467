# make report   runs the analysis;   make test   proves the project;   make   lists the rest.

PYTHON ?= python3
DATASET ?= auto
OPTIONS := DATASET RUN PARAMS TESTARGS PYTHON

UNKNOWN := $(strip $(foreach name,$(filter-out $(OPTIONS),$(.VARIABLES)),$(if $(filter command,$(origin $(name))),$(name))))
$(if $(UNKNOWN),$(error unknown option $(UNKNOWN): the options are $(OPTIONS)))

# recipes read them from the environment, as they were given: neither make nor the shell expands what they hold
$(foreach name,$(OPTIONS),$(eval override $(name) := $$(value $(name))))
export $(OPTIONS)

VENV := .venv/bin
INSTALLED := .venv/installed
# two processes of tests, as many machines have two cores; threads of both would spin while they wait for a core
PYTEST := OMP_NUM_THREADS=1 $(VENV)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
RIVALS := .venv/rivals

.DEFAULT_GOAL := help
.PHONY: help report check test lint lab bench bench-large gallery rivals
.DELETE_ON_ERROR:

help:  ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 14
	@echo 'options of report: DATASET=auto|paul15|pbmc68k_reduced|krumsiek11|file.h5ad RUN=name PARAMS=settings.yaml'
	@echo 'option of check and test: TESTARGS="-k name"'

report: $(INSTALLED)  ## run all notebooks and write reports/<run>/index.html
	@$(VENV)/python -m scripts report --dataset="$$DATASET" $${RUN:+--run="$$RUN"} $${PARAMS:+--params="$$PARAMS"}

check: lint  ## check the code and run the fast tests, in less than two minutes
	@PYTEST_ADDOPTS="$$PYTEST_ADDOPTS $$TESTARGS" $(PYTEST) -m "not chain and not browser and not slow"

test: lint  ## check the code and run all tests
	@PYTEST_ADDOPTS="$$PYTEST_ADDOPTS $$TESTARGS" $(PYTEST)

lint: $(INSTALLED)
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/basedpyright --pythonpath $(VENV)/python

lab: $(INSTALLED)  ## open JupyterLab on the notebooks
	@PYTHONPATH="$$PWD" $(VENV)/jupyter lab notebooks

rivals: $(RIVALS)  ## install the packages that notebook 05 also compares with, where they are there

bench: $(INSTALLED) $(RIVALS)  ## print each measured speed as a ratio, what the scan of pairs finds by chance, and rivals
	@$(VENV)/python -m benchmarks.speed
	@$(VENV)/python -m benchmarks.scaling
	@$(VENV)/python -m benchmarks.shapes
	@$(VENV)/python -m benchmarks.chain
	@$(VENV)/python -m benchmarks.peers
	@$(VENV)/python -m benchmarks.pair_nulls
	@$(VENV)/python -m benchmarks.gene_rivals

bench-large: $(INSTALLED)  ## print what all notebooks take for 1,000,000 cells: some 20 min, 11 GB
	@$(VENV)/python -m benchmarks.chain 1000000

gallery: $(INSTALLED)  ## make the pictures of docs/gallery.md, with an installed Chromium
	@PYTHONPATH="$$PWD" $(VENV)/python docs/make_gallery.py

$(RIVALS): $(INSTALLED) pyproject.toml
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check -e '.[rivals]'
	@touch $@

$(INSTALLED): requirements.txt
	@command -v "$$PYTHON" >/dev/null || { printf "error: %s not found; install Python 3.11 or newer, or name it: make PYTHON=...\n" "$$PYTHON" >&2; exit 1; }
	@"$$PYTHON" -c 'import sys; sys.exit("error: Python 3.11 or newer is needed; name one: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "[1/2] making .venv" >&2
	@"$$PYTHON" -m venv .venv
	@echo "[2/2] installing the packages of requirements.txt into .venv (minutes, once)" >&2
	@if [ -t 1 ]; then how=; else how=--quiet; fi; \
		$(VENV)/python -m pip install $$how --disable-pip-version-check -r requirements.txt
	@touch $@
