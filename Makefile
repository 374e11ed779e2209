# `make` alone prints what there is. ARGS="..." is passed on to the program that a target runs.
# `make lab PYTHON=python3.12` builds the environment from that Python.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
PEERS_PYTHON := .venv-peers/bin/python
PYTEST := $(VENV_PYTHON) -m pytest
WORKERS ?= 2
# Seconds that one cell of a notebook may take in `make test`.
CELL_TIMEOUT ?= 300
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help env lab test test-quick test-site peers test-peers bench mutants format lint pairs run full exercises proof release book book-serve book-pdf equation-report links lock clean built test-versions
.DELETE_ON_ERROR:

# What another project left in the shell must not be imported here.
unexport PYTHONPATH
unexport PYTHONHOME
# Two workers of many threads each would fight for the cores.
test test-quick test-peers bench equation-report mutants: export OMP_NUM_THREADS := 1

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

built:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "$(PYTHON) is not on this machine: install Python 3.11 or later, or name it: make lab PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" scripts/environment.py

env: built ## build .venv from requirements.lock, or bring it up to date
	@echo ".venv is up to date: make lab opens the course."

lab: built ## open JupyterLab on the start chapter (ARGS="--no-browser --port 9999")
	@$(VENV_PYTHON) scripts/lab.py $(ARGS)

test: built ## run every test and every notebook, but for those in a browser
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not browser" --nbval-lax --nbval-current-env \
	  --nbval-cell-timeout $(CELL_TIMEOUT) tests $(wildcard chapters solutions) $(ARGS)

test-site: built ## look at the book, at JupyterLab and at the grader's pages in headless Chromium
	$(PYTEST) -n $(WORKERS) --dist loadfile -m browser tests/site $(ARGS)

test-quick: built ## run the tests that take seconds: no notebooks, no browser
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not slow and not browser" tests $(ARGS)

peers: built ## build .venv-peers: .venv, and on top of it the libraries that dgm is compared with
	@$(VENV_PYTHON) scripts/peers.py

test-peers: peers ## run the tests that compare with those libraries; one that is skipped fails
	DGM_SKIPS=fail $(PEERS_PYTHON) -m pytest tests/conventions/test_*_peers.py $(ARGS)

bench: built ## run every measurement in bench/, one after another, into one table (ARGS="flow_speed", --quick)
	$(VENV_PYTHON) scripts/bench.py $(ARGS)

test-versions: built ## test the ends of what pyproject.toml allows: every Python here, the lowest torch
	$(VENV_PYTHON) scripts/versions.py $(ARGS)

mutants: built ## change dgm's formulas one place at a time: do the tests notice? (ARGS="--module dgm.vae.*", --help)
	$(VENV_PYTHON) -m coursekit.authoring.mutation $(ARGS)

format: built ## format the code, then carry that over to the notebooks
	$(VENV_PYTHON) -m ruff check --fix-only --quiet .
	$(VENV_PYTHON) -m ruff format .
	$(VENV_PYTHON) -m coursekit.authoring.pairs --write

lint: built ## check style and types
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy

pairs: built ## carry edits over between each .py and its .ipynb (ARGS=--check only compares)
	$(VENV_PYTHON) -m coursekit.authoring.pairs $(or $(ARGS),--write)

run: built ## run chapters and store their outputs (all, or CHAPTER=02_vae)
	$(VENV_PYTHON) -m coursekit.authoring.run $(CHAPTER) $(ARGS)

full: built ## train a family on 28x28 images, best on a GPU (ARGS="vae --data data --download", --help)
	$(VENV_PYTHON) -m dgm.recipes.full $(ARGS)

exercises: built ## generate exercises/ from solutions/ (ARGS=--check only compares)
	$(VENV_PYTHON) -m coursekit.authoring.generate $(ARGS)

proof: built ## try the graders: right and wrong answers, and all mutants of the solutions (ten minutes)
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m coursekit.grading.proof $(ARGS)

release: built ## write dist/course.zip, what students get (ARGS="02_vae --out x.zip")
	$(VENV_PYTHON) -m coursekit.grading.release $(ARGS)

book: built ## build the site in book/_build/student/html (ARGS="--edition instructor"; ARGS=--help)
	$(VENV_PYTHON) book/build.py $(ARGS)

book-serve: built ## build the site and serve it on 127.0.0.1:8000 (ARGS="--port 8001")
	$(VENV_PYTHON) book/build.py --serve $(ARGS)

book-pdf: built ## build the PDF in book/_build/student (needs xelatex; ARGS="--edition instructor" or "02_vae")
	$(VENV_PYTHON) book/pdf.py $(ARGS)

lock: built ## renew the locks and environment.yml from what is asked for (ARGS=--upgrade: newest)
	$(VENV_PYTHON) scripts/lock.py $(ARGS)

equation-report: built ## run the equations' tests and note how they ended, for the book
	$(PYTEST) -n $(WORKERS) --dist loadfile -m equation tests \
	  --equation-report docs/data/equations.json $(ARGS)

links: built ## try every link that leaves the repository; build/links.txt says which answer
	$(VENV_PYTHON) -m coursekit.authoring.links --external build/links.txt $(ARGS)

clean: ## delete the environments, the built book and the tools' caches
	rm -rf .venv .venv-peers .venvs .mutants .pytest_cache .mypy_cache .ruff_cache lib/*.egg-info book/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
