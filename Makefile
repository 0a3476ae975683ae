# Moksori. `make` alone shows what there is to type.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv/bin/python
export CONFIG RUN DATA RUNS WORKERS DEVICE INPUT FINAL

JOBS := prepare denoise mix extract train infer evaluate
.PHONY: help demo all $(JOBS) status test lint lock setup setup-dev

##@ Begin
help: ## this list
	@echo "Moksori: does a recording hold a fake voice, a real voice, both or neither?"
	@echo "make TARGET [CONFIG=configs/x.yaml] [RUN=name] [DATA=corpus] [RUNS=folder] [WORKERS=n] [DEVICE=cpu|cuda] [INPUT=...] [FINAL=1]"
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

demo: setup ## the whole road on the recordings that ship with the project (2 free cores: 2 to 3 minutes)
	@CONFIG=configs/demo.yaml RUN=$(or $(RUN),demo) DATA=data/demo WORKERS=$(or $(WORKERS),2) $(MAKE) --no-print-directory all

all: setup ## all seven jobs, in order; what is done already is not done again
	@$(VENV) app/host/launch.py $(JOBS)

##@ The jobs, in flow order
prepare: ## read the corpus, split it by whole speakers and engines, audit it for shortcuts
denoise: ## decode once, resample, gate the noise; keep pauses as a noise bank
mix: ## plan the training and validation clips: 0 to 2 voices in noise
extract: ## render the plan and read the test; log-mel, pitch and spectral features
train: ## baseline, then CNN + RNN; the best epoch on validation, calibrated
infer: ## scores and submission.csv; INPUT=file-or-folder for any recordings
evaluate: ## official score beside its floors, report/index.html; FINAL=1 looks at the test labels
$(JOBS): setup
	@$(VENV) app/host/launch.py $@

##@ Look after them
status: setup ## every job of every run: state, progress, time left, memory
	@$(VENV) -m jobs.status

##@ Develop
test: setup-dev ## the whole test suite
	@$(VENV) -m pytest

lint: setup-dev ## ruff and mypy
	@$(VENV) -m ruff check . && $(VENV) -m ruff format --check . && $(VENV) -m mypy

lock: setup ## requirements/*.txt from the .in files: exact versions with hashes
	@cd requirements && for name in uv:uv cu130:moksori dev:dev; do \
	  ../.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
	    $${name#*:}.in -o $${name%:*}.txt || exit 2; done

setup: # the virtual environment with the locked packages
	@command -v $(PYTHON) >/dev/null || { echo "setup: no $(PYTHON) here"; echo "  fix: sudo apt-get install python3 python3-venv"; exit 2; }
	@$(PYTHON) app/host/setup.py

setup-dev:
	@command -v $(PYTHON) >/dev/null || { echo "setup: no $(PYTHON) here"; echo "  fix: sudo apt-get install python3 python3-venv"; exit 2; }
	@$(PYTHON) app/host/setup.py dev
