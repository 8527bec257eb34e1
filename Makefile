# One task runner. `make setup` once; every other word does it when needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test check model alerts provoke guards faults drill bench protos docs dashboards lock clean
.DEFAULT_GOAL := help

help:
	@echo "make setup   install QMTL and its tools into $(VENV)"
	@echo "make demo    six strategies, one world, real prices; writes demo-report.html"
	@echo "make test    all tests, against a real PostgreSQL and a real nats-server"
	@echo "make check   format, lint, types, import rules, contracts, generated code and docs"
	@echo "make model   the apply protocol, searched exhaustively by SPIN (apt-get install spin gcc); writes docs/reliability.md"
	@echo "make alerts  the alerts' rules and when they fire, by promtool (apt-get install prometheus)"
	@echo "make provoke each alert provoked on a real stack, before a real Prometheus; writes docs/operations/index.md"
	@echo "make guards  each guard of the apply protocol removed from a copy: a test goes red; writes docs/reliability.md"
	@echo "make faults  long random schedules of the apply protocol; then 200 runs on real processes that are struck meanwhile, and rolling restarts"
	@echo "make drill   everything lost under load and restored, again and again; writes docs/operations/backup.md"
	@echo "make bench   benchmarks beside their peers; writes docs/benchmarks.md"
	@echo "make protos  generate the code of the contracts"
	@echo "make docs    generate the generated parts of the docs"
	@echo "make dashboards  write the dashboards of helm/qmtl/dashboards"
	@echo "make lock    choose new versions of all dependencies"
	@echo "make clean   remove what was made"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/python protos/generate.py --check
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m helm.dashboards.generate --check

model: $(READY)
	$(BIN)/python -m tests.model.check

alerts:
	promtool check rules helm/qmtl/alerts/alerts.yaml
	promtool test rules tests/helm/alerts.test.yaml

provoke: $(READY)
	$(BIN)/python -m tests.provoke

guards: $(READY)
	$(BIN)/python -m tests.guards.check

faults: $(READY)
	$(BIN)/python -m pytest -m faults
	$(BIN)/python -m pytest tests/property --hypothesis-profile=search
	$(BIN)/python -m tests.faults

drill: $(READY)
	$(BIN)/python -m tests.drill

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,bench]"
	$(BIN)/python -m benchmarks

protos: $(READY)
	$(BIN)/python protos/generate.py
	$(BIN)/buf format --write

docs: $(READY)
	$(BIN)/python docs/generate.py

dashboards: $(READY)
	$(BIN)/python -m helm.dashboards.generate

lock: $(READY)
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade --all-extras --output-file constraints.txt pyproject.toml
	sed -i '/^qmtl/d' constraints.txt # our own extras name ourselves

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
