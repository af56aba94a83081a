# Everything runs in .venv, made once and reused while the requirements stay the same.
PYTHON ?= python3
bin := .venv/bin

.PHONY: install sample test fuzz lint types bench clean

install: .venv/.made

.venv/.made: requirements-dev.txt setup.cfg runtime/setup.cfg
	$(PYTHON) -m venv .venv
	$(bin)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[0-9.]*' requirements-dev.txt)"
	$(bin)/uv pip install --quiet --python $(bin)/python -r requirements-dev.txt
	touch $@

sample: install
	$(bin)/python samples/show.py

test: install
	$(bin)/python -m pytest --durations=15 $(ARGS)

fuzz: install
	$(bin)/python -m tests.runtime.fuzz $(or $(CASES),1000000)

lint: install
	$(bin)/ruff format --check . && $(bin)/ruff check . && $(bin)/lint-imports

types: install
	$(bin)/mypy && $(bin)/pyright

clean:
	rm -rf .venv build *.egg-info func/*.egg-info runtime/*.egg-info .mypy_cache .ruff_cache .pytest_cache
