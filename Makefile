# Everything a person or a script needs; each target installs what it uses into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format docs bench bench-quick oracles clean
.DELETE_ON_ERROR:

demo: .venv/core
	@$(BIN)/gradflow compare rnn lstm

test: .venv/test
	$(BIN)/python -m pytest

check: .venv/check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What is made of the program itself: the reference, manuals, completions, pictures of documents.
docs: .venv/check
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/draw.py

bench: .venv/bench
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/inspect_large.py
	$(BIN)/python benchmarks/powers.py
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/flow.py
	$(BIN)/python benchmarks/lyapunov.py
	$(BIN)/python benchmarks/bptt.py
	$(BIN)/python benchmarks/large_file.py

# Ratios of a few public functions and commands beside those of the baseline, in two minutes.
bench-quick: .venv/core
	$(BIN)/python benchmarks/quick.py

# Reference values by real frameworks, for tests that do without them.
oracles: .venv/oracles
	$(BIN)/python tests/oracles/torch_cells.py
	$(BIN)/python tests/oracles/torch_gradients.py
	$(BIN)/python tests/oracles/torch_files.py
	$(BIN)/python tests/oracles/jax_files.py
	$(BIN)/python tests/oracles/keras_files.py
	$(BIN)/python tests/oracles/onnx_files.py
	$(BIN)/python tests/oracles/fresh_weights.py
	PYTHONPATH=. $(BIN)/python tests/oracles/converted_files.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# A stamp for each set of packages, remade when pyproject.toml changes.
.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/test .venv/check .venv/bench .venv/oracles: .venv/%: .venv/bin/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
