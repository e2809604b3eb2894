# `make demo` runs the default study, `make test` the tests; both set up everything they need in .venv.
PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
READY := .venv/.installed
PACKAGES := dicom3tools dcmtk orthanc orthanc-dicomweb chromium
# Tests of the cluster profile start a SLURM of their own, only where they are asked for.
ifeq ($(SYNTHCOHORT_TEST_SLURM),1)
PACKAGES += slurm-wlm munge
endif

.PHONY: demo readers test lint bench config lock system-packages clean

demo: $(READY)
	$(BIN)/synthcohort unlock
	$(BIN)/snakemake --cores $(CORES)
	@echo "The report: results/demo/report.html"

# The demo's reader study, for you to answer; build it with `make demo` first.
readers: $(READY)
	@test -f results/demo/readers/study.json || { echo "There is no demo yet: make demo"; exit 1; }
	$(BIN)/synthcohort serve "$$(sed -n 's/^  "id": "\(.*\)",$$/\1/p' results/demo/readers/study.json)"

test: $(READY) lint
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadfile --no-loadscope-reorder --durations 15

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/snakemake --lint

bench: $(READY)
	for bench in bench/bench_*.py; do $(BIN)/python $$bench || exit 1; done

# Generated files: schema, docs/config.md, comments of config.yaml and studies/, envs/.
config: $(READY)
	$(BIN)/python -m synthcohort.core.document

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --no-emit-index-url -o requirements.lock
	$(BIN)/python -m synthcohort.core.document

# Debian packages that the tests call: a DICOM validator, a DICOM toolkit, a PACS, a browser. Running a study needs none.
system-packages:
	@missing=$$(for package in $(PACKAGES); do dpkg -s $$package >/dev/null 2>&1 || echo $$package; done); \
	if [ -n "$$missing" ]; then \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$sudo apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing; \
	fi

# The lock lists every package, so pip has nothing to resolve.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up .venv: about 5 GB, a few minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Keeps private/ (the pseudonymisation key) and reader-studies/ (people's answers).
clean:
	rm -rf .venv .snakemake results/* data build
