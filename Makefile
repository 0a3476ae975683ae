# Moksori. `make` alone shows what there is to type.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV_DIR ?= .venv
VENV := $(VENV_DIR)/bin/python
export CONFIG RUN DATA RUNS WORKERS DEVICE INPUT FINAL CSV PLOT CUDA VENV_DIR
export CLUSTER PART NODE NODES RUNS_LIST LISTEN PORT GPU GPUS MAX_GPUS BUDGET N RUNNER UMASK DETACH JOB WATCH JSON FOLLOW LINES ARCHIVE OUT IMAGES

JOBS := prepare denoise mix extract train infer evaluate
.PHONY: help demo all $(JOBS) report compare dashboard ladder sweep seeds leaks leaderboard config estimate status logs stop pack unpack doctor help-bundle images image-save image-load \
  test test-pins test-containers cluster-test chaos fuzz profile bench bench-scaling bench-memory bench-train bench-polite lint lock has-python setup setup-dev

##@ Begin
help: ## this list
	@echo "Moksori: does a recording hold a fake voice, a real voice, both or neither?"
	@echo "make TARGET [CONFIG=configs/x.yaml] [RUN=name] [DATA=corpus] [RUNS=folder] [WORKERS=n] [DEVICE=cpu|cuda] [INPUT=...] [FINAL=1]"
	@echo "DETACH=1 gives jobs that outlive the login; GPU=wait waits for a free GPU, GPUS=2 trains on two"
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

demo: has-python ## the whole road on the recordings that ship with the project (2 free cores: 1 to 2 minutes)
	@CONFIG=configs/demo.yaml RUN=$(or $(RUN),demo) DATA=data/demo WORKERS=$(or $(WORKERS),2) $(MAKE) --no-print-directory all

all: has-python ## all seven jobs, in order; what is done already is not done again
	@$(PYTHON) app/host/launch.py $(JOBS)

##@ The jobs, in flow order
prepare: ## read the corpus, split it by whole speakers and engines, audit it for shortcuts
denoise: ## decode once, resample, gate the noise; keep pauses as a noise bank
mix: ## plan the training and validation clips: 0 to 2 voices in noise
extract: ## render the plan and read the test; log-mel, pitch and spectral features
train: ## baseline, then CNN + RNN; the best epoch on validation, calibrated
infer: ## scores and submission.csv; INPUT=file, folder, list.txt or - for any recordings; PLOT=1, JSON=1, CSV=1
evaluate: ## official score beside its floors; report/index.html to look at and listen to; FINAL=1 looks at the test labels
$(JOBS): has-python
	@$(PYTHON) app/host/launch.py $@

ladder: has-python ## trains every model, quickest first, within BUDGET=30m (2h, ...), and ranks them
	@$(PYTHON) app/host/launch.py ladder

sweep: has-python ## better settings for one model, within BUDGET=2h or N=20 trials; again, it goes on
	@$(PYTHON) app/host/launch.py sweep

seeds: has-python ## the chosen model with N=3 seeds: how much of its score is chance
	@$(PYTHON) app/host/launch.py seeds

report: has-python ## report/index.html of RUN anew, with what there is now; the test too, if it was looked at
	@$(PYTHON) app/host/launch.py report

compare: has-python ## RUNS_LIST=a,b (or a/crnn,b/crnn): settings, slices, clips that changed their mind, with intervals
	@$(PYTHON) app/host/launch.py --tool compare

leaks: has-python ## does a source lie in two splits; are shuffled labels learnt: exit code 2 if so
	@$(PYTHON) app/host/launch.py --tool leaks

leaderboard: has-python ## every trained model of every run by its score on validation; RUN=name, JSON=1
	@$(PYTHON) app/host/launch.py --tool leaderboard

##@ Look after them
config: has-python ## what CONFIG comes to: every key, its value and where that comes from
	@$(PYTHON) app/host/launch.py --tool config

estimate: has-python ## time, memory and disk of every job, from a probe of 50 clips
	@$(PYTHON) app/host/launch.py --tool estimate

status: has-python ## every job of every run: state, progress, time left, memory; WATCH=1 goes on, JSON=1 for scripts
	@$(PYTHON) app/host/launch.py --tool status

logs: has-python ## the end of JOB's log, and what comes; RUN=name, LINES=50, FOLLOW=0 to only look
	@$(PYTHON) app/host/logs.py

stop: has-python ## JOB of RUN (JOB=all: all of its jobs) stops politely; the same command goes on
	@$(PYTHON) app/host/launch.py --tool stop

pack: has-python ## RUN and the stages it needs in one checksummed archive (OUT=file); also in the middle
	@$(PYTHON) app/host/launch.py --tool pack

unpack: has-python ## takes up ARCHIVE=file here, to go on with it
	@$(PYTHON) app/host/launch.py --tool unpack

doctor: has-python ## this machine: driver, GPUs and who uses them, Docker, disks -> which CUDA, and what to mend; writes .env
	@$(PYTHON) app/host/doctor.py

help-bundle: has-python ## doctor, status, logs and config of RUN, without secrets, in one file for whoever helps
	@$(PYTHON) app/host/launch.py --tool help_bundle

dashboard: has-python ## a page on 127.0.0.1: every job, time left, CPU and GPU use, live curves; PORT=..., LISTEN=...
	@$(PYTHON) app/host/launch.py --tool dashboard

##@ Containers
images: has-python ## builds the four images for the pin of .env
	@$(PYTHON) app/host/images.py build

image-save: has-python ## the images (IMAGES=prep: some) in one file (OUT=file), for a server without a network
	@$(PYTHON) app/host/images.py save

image-load: has-python ## takes them from ARCHIVE=file
	@$(PYTHON) app/host/images.py load

##@ Develop
test: setup-dev ## the whole test suite
	@$(VENV) -m pytest

test-pins: ## the whole test suite with each torch of requirements/pins.json, each in an environment of its own
	@for pin in $$($(PYTHON) -c 'import json; print(*json.load(open("requirements/pins.json")))'); do \
	  echo "test-pins: $$pin"; CUDA=$$pin VENV_DIR=.venv-$$pin $(MAKE) --no-print-directory test || exit 2; done

test-containers: setup-dev ## the images and compose, with a real Docker engine; root on Debian gets one installed
	@$(VENV) -m pytest -rs tests/containers

cluster-test: setup-dev ## jobs on a real Slurm of two nodes on this machine; root on Debian gets it installed
	@$(VENV) -m pytest -rs tests/slurm

chaos: setup-dev ## kills jobs at random moments and at every write, and compares every byte
	@$(VENV) -m tests.chaos

fuzz: setup-dev ## 10,000 broken recordings and tables through prepare and denoise
	@$(VENV) -m tests.fuzz --keep runs/fuzz

profile: has-python ## where the time of JOB=extract (or prepare, denoise) goes, for one shard
	@$(PYTHON) app/host/launch.py --tool profile

bench: setup-dev ## our jobs beside what others take for the same work, on one core
	@$(VENV) -m bench.speed

bench-scaling: setup-dev ## does a clip cost the same with 1, 2, 4 workers and among 500 to 20,000 clips
	@$(VENV) -m bench.scaling

bench-memory: setup-dev ## does memory stay flat, from 500 to 10,000 clips
	@$(VENV) -m bench.memory

bench-train: setup-dev ## a training step: waiting for data, the RNN without packing, two processes, its floor
	@$(VENV) -m bench.training

bench-polite: setup-dev ## how much a neighbour on this machine is slowed by our jobs
	@$(VENV) -m bench.polite

lint: setup-dev ## ruff and mypy
	@$(VENV) -m ruff check . && $(VENV) -m ruff format --check . && $(VENV) -m mypy

lock: setup ## requirements/*.txt from the .in files and pins.json: exact versions with hashes
	@$(VENV) requirements/lock.py

has-python:
	@command -v $(PYTHON) >/dev/null || { echo "setup: no $(PYTHON) here"; echo "  fix: sudo apt-get install python3 python3-venv"; exit 2; }

setup: has-python # the virtual environment with the locked packages
	@$(PYTHON) app/host/setup.py

setup-dev: has-python
	@$(PYTHON) app/host/setup.py dev
