# make setup [EXTRAS="train test"] | demo | test | bench
PYTHON ?= python3
EXTRAS ?=
SETUP = @$(PYTHON) tools/prophrl_setup
ENTER = . .venv/prophrl/env.sh &&

.PHONY: setup demo test bench

setup:
	$(SETUP) $(EXTRAS)

demo:
	$(SETUP)
	@./prophrl demo

test:
	$(SETUP) train test
	@$(ENTER) python -m pytest $(PYTEST_ARGS)

bench:
	$(SETUP) train
	@mkdir -p runs/bench
	@./prophrl bench control --json runs/bench/control.json
	@./prophrl bench inference --json runs/bench/inference.json
	@./prophrl bench cameras --json runs/bench/cameras.json
