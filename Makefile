# make setup [EXTRAS="train data teleop calibrate test"] | demo | test | bench
PYTHON ?= python3
EXTRAS ?=
BENCHES = control faults inference cameras agreement teleop recording
SETUP = @$(PYTHON) tools/prophrl_setup
ENTER = . .venv/prophrl/env.sh &&

.PHONY: setup demo test bench

setup:
	$(SETUP) $(EXTRAS)

demo:
	$(SETUP)
	@./prophrl demo

test:
	$(SETUP) train data teleop calibrate test
	@$(ENTER) python -m pytest $(PYTEST_ARGS)

bench:
	$(SETUP) train
	@mkdir -p runs/bench
	@for name in $(BENCHES); do ./prophrl bench $$name --json runs/bench/$$name.json || exit; done
