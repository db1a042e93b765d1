# make run       the main job: encrypted k-means on the mall customers
# make test      the checks, then the tests
# make check     formatter, linter, types and import rules alone
# make coverage  the tests, and the lines of the package that they do not reach
# make wheel     the wheel that pip installs, in dist/
# make lock      requirements.txt and requirements-dev.txt again, after a change of pyproject.toml
# make clean     remove the virtual environment and what tools left behind

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help run test check coverage wheel lock clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: .venv/installed
	@echo "==> Encrypted k-means on the mall customers: two parties and a dealer on this machine"
	@$(BIN)/python launcher.py

test: check
	@echo "==> Running the tests"
	@$(BIN)/python -m pytest -n 3 --dist worksteal

coverage: .venv/installed-dev
	@$(BIN)/python -m pytest -n 2 --dist worksteal --cov=secure_kmeans

check: .venv/installed-dev
	@echo "==> Checking format, style, types and import rules"
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

wheel: .venv/installed
	@rm -rf build
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

lock: .venv/installed
	@test -x $(BIN)/uv || $(PIP) install uv
	@$(LOCK) pyproject.toml --output-file requirements.txt
	@$(LOCK) --group dev --constraint requirements.txt --output-file requirements-dev.txt

# Every package but torch is checked against its hash.
.venv/installed: requirements.txt requirements-torch.txt requirements-crypten.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make run PYTHON=/path/to/python3.11"; exit 1; }
	@echo "==> Making .venv with Python and installing what the project uses; this takes some minutes, once"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install -r requirements-torch.txt
	@$(PIP) install --no-deps --require-hashes -r requirements-crypten.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "==> Installing what the tests and checks use"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache secure_kmeans.egg-info
