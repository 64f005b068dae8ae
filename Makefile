# make demo    train on the embedded task in hard context (10 minutes on 2 cores, and 5 to make the environment)
# make test    all tests but the slow ones (some 16 minutes on 2 cores); ARGS="-m slow" runs those
# ARGS adds arguments: make demo ARGS=trainer.total_training_steps=3, make test ARGS="-m 'not e2e'"

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
INSTALLED := $(VENV)/.installed
ARGS ?=

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Threads that wait would else spin on the cores that another process needs.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test lint format bench pins docs clean

demo: $(INSTALLED)
	halluc quiet python -m verl.trainer.main_ppo +recipe=halluc_grpo_hard $(ARGS)

# Two workers on two cores: more threads would only wait for one another.
test: export OMP_NUM_THREADS ?= 1
test: $(INSTALLED)
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	mypy
	lint-imports

format: $(INSTALLED)
	ruff check --fix .
	ruff format .

bench: $(INSTALLED)
	python -m pytest benchmarks -o python_files='bench_*.py' -s $(ARGS)

# The environment with the tested CPU stack: made when missing, completed when its inputs have changed.
$(INSTALLED): scripts/bootstrap.py pyproject.toml constraints/cpu.txt constraints/cpu-overrides.txt
	$(PYTHON) scripts/bootstrap.py $(VENV)
	touch $@

# Write down what is installed as the new tested stack.
pins: $(INSTALLED)
	python scripts/pins.py
	python scripts/compatibility.py

docs: $(INSTALLED)
	python scripts/compatibility.py
	python scripts/settings_page.py
	python scripts/host_settings_page.py
	python scripts/forest_plots.py
	python scripts/recipes_page.py
	python scripts/tasks_page.py
	python scripts/lm_eval_tasks.py
	python scripts/migration_page.py

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
