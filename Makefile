# Everything runs in .venv, made once and reused while the requirements stay the same.
PYTHON ?= python3
bin := .venv/bin

.PHONY: install sample test test-knative fuzz lint types bench clean

install: .venv/.made

# Tests start many servers: compiled once, here, even where Python is told to write no bytecode.
.venv/.made: requirements-dev.txt setup.cfg runtime/setup.cfg
	$(PYTHON) -m venv .venv
	$(bin)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[0-9.]*' requirements-dev.txt)"
	$(bin)/uv pip install --quiet --compile-bytecode --python $(bin)/python -r requirements-dev.txt
	touch $@

sample: install
	$(bin)/python samples/show.py

test: install
	$(bin)/python -m pytest --durations=15 $(ARGS)

# Against a cluster with Knative: KUBECONFIG and the other variables of CONTRIBUTING.md say which.
# A file's tests in one process, which share what it has deployed. (loadgroup groups nothing under pytest 9.)
test-knative: install
	MLFUNC_TEST_PLATFORMS=knative $(bin)/python -m pytest --durations=15 --numprocesses 2 --dist loadfile tests/knative tests/platforms $(ARGS)

fuzz: install
	$(bin)/python -m tests.runtime.fuzz $(or $(CASES),1000000)

lint: install
	$(bin)/ruff format --check . && $(bin)/ruff check . && $(bin)/lint-imports

types: install
	$(bin)/mypy && $(bin)/pyright

# What this machine measures, next to what is promised: bench/README.md.
bench: bench/.venv/.made
	bench/.venv/bin/python bench/run.py $(ARGS)

bench/.venv/.made: bench/requirements.txt runtime/setup.cfg | install
	$(bin)/uv venv --quiet --clear --python $(PYTHON) bench/.venv
	$(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") $(bin)/uv pip install --quiet --compile-bytecode --python bench/.venv/bin/python -r bench/requirements.txt
	touch $@

clean:
	rm -rf .venv bench/.venv build *.egg-info func/*.egg-info runtime/*.egg-info .mypy_cache .ruff_cache .pytest_cache
