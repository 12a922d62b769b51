# make demo    build and run the daemon with two embedded containers
# make test    build and run every test; installs what the interop tests need when it can
# make help    the rest

PYTHON ?= python3
VENV ?= .venv
LISTEN ?= 127.0.0.1:8080
PYTEST_ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
COMPILED := $(shell find ajp daemon -name '*.pyx' -o -name '*.pxd')

.PHONY: help build demo test lint bench docs fuzz debug-test system-packages clean
.DEFAULT_GOAL := help

help:
	@sed -n '1,3p' Makefile | sed 's/^# //'
	@echo 'make lint        ruff, mypy, cython-lint, stubtest, layers'
	@echo 'make bench       encode and decode, beside AJPy'
	@echo 'make docs        the documentation site, into docs/_build/html'
	@echo 'make fuzz        a million mutated packets through a sanitizer build'
	@echo 'make debug-test  unit and property tests on a build with bounds checks'
	@echo 'make clean       remove everything that was built'
	@echo 'PYTHON=/path/to/python3 chooses the interpreter of the virtual environment'

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo 'make: $(PYTHON) is not there; Python 3.11 or newer is needed'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("make: %s is Python %s; 3.11 or newer is needed: make PYTHON=/path/to/python3" % (sys.executable, sys.version.split()[0]))'
	@command -v cc >/dev/null || { echo 'make: no C compiler; on Debian: apt-get install gcc python3-dev'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q 'setuptools>=77' 'Cython>=3.1'

# The packages are installed in place: Python files are live, compiled ones follow this rule.
$(VENV)/.installed: $(PY) pyproject.toml setup.py
	$(PIP) install -q --no-build-isolation --editable '.[daemon,test]'
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(COMPILED)
	$(PY) setup.py -q build_ext --inplace
	@touch $@

build: $(VENV)/.built

# Only what the extra asks for: installing the package once more would compile all of it once more.
EXTRA = import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["optional-dependencies"][sys.argv[1]], sep="\n")

$(VENV)/.extra-%: $(VENV)/.installed
	$(PY) -c '$(EXTRA)' $* > $@.txt
	$(PIP) install -q -r $@.txt
	@touch $@

demo: build
	$(PY) -m ajpd demo --listen $(LISTEN)

system-packages:
	@sh tests/tools/system_packages.sh || echo 'make: the tests that need them are skipped'

test: build system-packages
	$(PY) -m pytest $(PYTEST_ARGS)

lint: build $(VENV)/.extra-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	PATH="$(abspath $(VENV))/bin:$$PATH" cython-lint ajp daemon
	$(PY) -m mypy
	$(PY) tests/tools/stubs.py
	$(PY) -m pytest -q tests/tools

bench: build $(VENV)/.extra-bench
	$(PY) -m pytest tests/bench --benchmark-enable --benchmark-columns=min,median,ops --benchmark-sort=name

docs: build $(VENV)/.extra-docs
	$(PY) docs/tools/directives.py > docs/reference/directives.generated.md
	$(PY) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

fuzz: build
	sh tests/fuzz/run.sh

debug-test: build
	rm -rf build/debug
	AJP_DEBUG=1 $(PY) setup.py -q build --build-base build/debug-tmp --build-lib build/debug
	PYTHONPATH=build/debug $(PY) -P -m pytest -q -o pythonpath= tests/unit tests/property tests/vectors

clean:
	rm -rf build dist *.egg-info docs/_build docs/reference/directives.generated.md $(VENV)
	find ajp daemon -name '*.so' -delete -o -name '*.c' -delete -o -name '*.html' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
