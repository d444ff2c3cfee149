# A fresh machine needs python3.11 or later (with venv), make, and pip's package index.
#   make demo PYTHON=python3.12                       another interpreter
#   make demo PIP_FLAGS="--extra-index-url URL"       have pip take a CPU build of torch (see the README)
PYTHON ?= python3
PIP_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_FLAGS)

.PHONY: demo serve test pytest lint clean

demo: $(VENV)/.installed
	$(BIN)/openeo-embed demo --output demo-output --data demo-data

serve: $(VENV)/.installed
	@test -f data/catalog.json || $(BIN)/openeo-embed sample-data
	$(BIN)/openeo-embed serve --demo-user

# What is looked at and what is run, side by side: one core is not enough for either to be soon done.
test: $(VENV)/.installed-dev
	$(MAKE) -j 2 lint pytest

# Two processes: as many as a small machine has cores, each with one thread in libraries, as the server has it: more wait
# for each other. Tests of one file share a process, and with it their servers. Files begin in their order: the long ones
# are not the last. What is compiled is kept, whatever the environment says: tests start many processes.
# OPENEO_EMBED_TEST_EXAMPLES=10 has tests of properties try ten times as many examples.
pytest: $(VENV)/.installed-dev
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) demo-output demo-data build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages into $(VENV) (a few minutes the first time) ..."
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e ".[dev]"
	touch $@
