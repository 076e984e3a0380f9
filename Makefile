# Two commands are all a newcomer needs: make quickstart, make test.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: install quickstart test lint docs mutants mutants-changed fuzz clean

install: $(STAMP)

quickstart: $(STAMP)
	$(BIN)/cu quickstart

test: $(STAMP)
	$(BIN)/pytest -q -n 2 --dist loadfile tests/parity tests/contract tests/hostile tests/golden tests/unit
	$(BIN)/pytest -q -n 2 --dist loadfile tests/integration

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

SEED ?= 1
JOBS ?= 2
WHERE ?= cu_core/
TESTS ?= tests/unit/cu_core tests/golden tests/contract tests/parity
mutants: COUNT ?= 300
mutants mutants-changed: $(STAMP)
	$(BIN)/python -m tests.mutation --seed $(SEED) --count $(COUNT) --jobs $(JOBS) --where $(WHERE) \
		--tests "$(TESTS)" $(ONLY)

SECONDS ?= 60
fuzz: $(STAMP)
	$(BIN)/python -m tests.hostile.fuzz --seconds $(SECONDS) --seed $(SEED)

BASE ?= origin/main
mutants-changed: COUNT ?= 20
mutants-changed: ONLY := --base $(BASE)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	@echo "installing into .venv (about 4 minutes and 7 GB, once)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv outputs data build *.egg-info
