# `make demo` and `make test` work from a fresh clone: each makes the environment first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint format bench adapters-page clean

$(VENV): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(VENV)

demo: $(VENV)
	$(BIN)/fewshot-flair adapt --shots 16

test: $(VENV)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(VENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Adapters against the papers' way, and how time grows (recipes/bench-adapters).
bench: $(VENV)
	$(BIN)/python recipes/bench-adapters/bench.py
	$(BIN)/python recipes/bench-adapters/sets.py

# docs/adapters.md: what each adapter needs, costs and gave.
adapters-page: $(VENV)
	$(BIN)/python recipes/bench-adapters/page.py

.PHONY: bench-extract bench-bank
bench-extract: $(VENV)
	$(BIN)/python recipes/bench-extract/bench.py

bench-bank: $(VENV)
	$(BIN)/python recipes/bench-extract/million.py

# Every encoder of the comparison from random weights in its published layout, through adapt (recipes/encoders).
.PHONY: encoders
encoders: $(VENV)
	$(BIN)/python recipes/encoders/run.py

# The guides and a reference made from the docstrings, in site/; any warning or broken link ends it.
.PHONY: docs
docs: $(VENV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Every table and picture that README.md and docs/ take from a run, made anew (recipes/figures; needs ../shared/data).
.PHONY: figures
figures: adapters-page
	PYTHONPATH=recipes/figures $(BIN)/cog -r -P README.md docs/*.md

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache
