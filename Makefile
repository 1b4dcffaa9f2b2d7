# What a person types. Snakemake decides what runs (Snakefile); this file only brings it about.
# PYTHON=/path/to/python3.12 chooses the interpreter; JOBS=N the cores (default: all).

JOBS ?= all
# One more than two cores: some tests wait for ports and timeouts.
TEST_WORKERS ?= 3
MINUTES ?= 10

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help report test lint doctor setup clean bench-engine bench-tflite fuzz-engine fuzz-doors

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

report: setup ## the whole journey, from data set to report; what is up to date is not made again
	@snakemake --cores $(JOBS) report

test: lint ## lint, then all tests
	@OMP_NUM_THREADS=1 pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

lint: setup ## style, types and the workflow's own linter
	@ruff check .
	@ruff format --check .
	@clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h' '*.cc')
	@mypy
	@snakefmt --check Snakefile rules
	@snakemake --lint

bench-engine: setup ## the engine's benchmark on the emulator, about two minutes: table and acceptance
	@paper2board bench-engine

bench-tflite: setup ## the .tflite files of a folder against TFLite Micro, FILES=folder
	@paper2board bench-tflite "$(FILES)"

fuzz-engine: setup ## 5,000 random networks against TFLite Micro; stopped, it says how to go on
	@OMP_NUM_THREADS=1 paper2board fuzz-engine --networks 5000 --seed 0

fuzz-doors: setup ## random and damaged input to everything that reads what comes from outside, MINUTES=10
	@OMP_NUM_THREADS=1 TEST_WORKERS=$(TEST_WORKERS) tools/fuzz_doors.sh $(MINUTES)

doctor: ## what is installed, what is missing, what that disables; changes nothing
	@"$$(command -v .venv/bin/python || echo python3)" -m paper2board.doctor

setup: ## system packages and .venv, where missing; report, test and lint do this first
	@tools/setup.sh

clean: ## caches of the tools above; data, models, results, build and .venv stay
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find paper2board scripts tests -name __pycache__ -prune -exec rm -rf {} +
