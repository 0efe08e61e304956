# Needs Python 3.11 or newer, make and a package index; sets up .venv itself.
PYTHON ?= python3
BIN := .venv/bin
LOCK := requirements/lock.txt

.PHONY: help demo test slow gpu docs types lint clean

help:
	@echo 'make demo   compare plain training, KD and the collective on digits'
	@echo 'make test   run the tests'
	@echo 'make slow   run the slow tests: other environments, full size'
	@echo 'make gpu    test and measure on a GPU, see studies/gpu/run'
	@echo 'make docs   build the documentation, docs/_build/html/index.html'
	@echo 'make types  check the type hints of the package'
	@echo 'make lint   check the types, the style and the spelling'
	@echo 'make clean  remove .venv and what building and testing leave behind'

demo: .venv/installed
	$(BIN)/python tools/demo.py

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 15 tests

slow: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow or gpu' \
		--device cpu --durations 0 tests

gpu: .venv/installed
	PYTHON=$(BIN)/python bash studies/gpu/run

docs: .venv/docs-installed
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python -m pytest -n 0 -q -m '' tests/docs/test_links.py tests/docs/test_html.py

types: .venv/lint-installed
	$(BIN)/python -m mypy

lint: types
	$(BIN)/codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv build dist docs/_build *.egg-info mmdckd/.mim .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp is newer than what it was made from: nothing is installed twice.
.venv/installed: $(LOCK) pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and \
		sys.exit("$(LOCK) needs Python 3.11: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint $(LOCK) torch torchvision
	$(BIN)/python -m pip install --no-deps --requirement $(LOCK)
	$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	touch $@

.venv/docs-installed: .venv/installed requirements/docs.txt
	$(BIN)/python -m pip install --no-deps --requirement requirements/docs.txt
	touch $@

.venv/lint-installed: .venv/installed requirements/lint.txt
	$(BIN)/python -m pip install --no-deps --requirement requirements/lint.txt
	touch $@
