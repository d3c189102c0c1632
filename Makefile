# make help   these targets
# make setup  toolchain and .venv, which everything else does first
# make demo   set everything up, then compare both engines on the shipped models (reports/demo/)
# make test   set everything up, then run every test
# make check  formatters, linters, types
.PHONY: help demo test check format setup toolchain browser compilers c-matrix bench models calibrate times baseline bench-baseline docs picture conformance fuzz kill-points lowest dist-check lock nightly graphs mutants clean

PYTHON ?= python3
BIN := .venv/bin
LENET := examples/lenet5
BASELINE_TARGETS := --target cortex-m0 --target cortex-m4 --target cortex-m55
DEMO_MODELS := $(LENET)/lenet5_f32.onnx $(LENET)/lenet5_int8.onnx examples/paper_cifar/paper_cifar_int8.onnx

setup: toolchain .venv/ready

help:
	@awk '/^# make / { sub(/^# make /, ""); print; next } \
	      /^# / { about = substr($$0, 3); next } \
	      /^[a-z-]+:/ && about { sub(/:.*/, ""); printf "%-15s %s\n", $$0, about } { about = "" }' Makefile

# Debian packages: compiler for Arm, C library, QEMU
toolchain:
	@sh tools/toolchain.sh

# Chromium, for tests of HTML pages
browser: toolchain
	@sh tools/toolchain.sh browser

# clang and g++, for tests of the generated C
compilers: toolchain
	@sh tools/toolchain.sh compilers

.venv/ready: pyproject.toml requirements.lock
	@sh tools/venv.sh $(PYTHON)

demo: setup
	$(BIN)/pingponnx report $(DEMO_MODELS) --target cortex-m4 -o reports/demo

test: setup browser compilers
	$(BIN)/pytest -n 2 $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror runtime_c/*.h runtime_c/port/*.[ch] runtime_c/plugin/*.[ch] cmsis_baseline/*.h

# Formatters, writing
format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	$(BIN)/clang-format -i runtime_c/*.h runtime_c/port/*.[ch] runtime_c/plugin/*.[ch] cmsis_baseline/*.h

# Every network, core and goal against CMSIS-NN, and against reports/bench.json: minutes
bench: setup
	PYTHONPATH=tests $(BIN)/python tools/bench.py

# Generated C under every compiler and level: half an hour; MODELS="a.onnx b.onnx" instead of the examples
c-matrix: setup compilers
	$(BIN)/python tools/c_matrix.py $(MODELS)

# Every model of ../shared/models, both variants, against onnxruntime: docs/models.md
models: setup
	$(BIN)/python tools/compare_models.py

# Predictions of cycles, fitted to measured layers: half an hour
calibrate: setup
	PYTHONPATH=tests $(BIN)/python tools/calibrate.py

# How long the tool itself takes
times: setup
	$(BIN)/python tools/wall_times.py

# Deliberate update of the committed measurements
baseline: setup
	$(BIN)/pingponnx report $(DEMO_MODELS) $(BASELINE_TARGETS) -o reports/run
	$(BIN)/pingponnx baseline reports/run/report.json
	PYTHONPATH=tests $(BIN)/python tools/bench.py --subset --update

# Deliberate update of reports/bench.json
bench-baseline: setup
	PYTHONPATH=tests $(BIN)/python tools/bench.py --update

# docs/operators.md
docs: setup
	$(BIN)/python tools/operator_table.py

# The README's picture of the demo's report
picture: demo browser
	PYTHONPATH=tests $(BIN)/python tools/report_picture.py reports/demo/report.html

# What the onnx package's own tests say: docs/conformance.md
conformance: setup
	$(BIN)/python tools/conformance.py

# Damaged and hostile models, 200,000 of them: about an hour; docs/hardening.md
fuzz: setup
	nice $(BIN)/python tools/fuzz_load.py --seeds ../shared/models/ops

# Thousands of random networks, proven: docs/hardening.md
graphs: setup
	PYTHONPATH=tests $(BIN)/python tools/generated_graphs.py

# Small breaks of ourselves that the tests must notice: docs/hardening.md
mutants: setup
	$(BIN)/python tools/mutate.py

# Every command killed and failed at every change it makes on the disk; docs/hardening.md
kill-points: setup
	$(BIN)/python tests/faults/kill_points.py --full

# Tests on the lowest versions that pyproject.toml allows
lowest: setup
	@sh tools/lowest.sh

# sdist and wheel: the same bytes from everywhere, and used where no checkout is
dist-check: setup
	$(BIN)/python tools/dist_check.py

# requirements.lock: what .venv is made of
lock: .venv/ready
	@sh tools/lock.sh

# Each target is one that is named here and in .github/workflows/nightly.yml
NIGHTLY := fuzz c-matrix kill-points lowest dist-check graphs mutants

# All that is too long for every commit; logs in nightly/
nightly:
	sh tools/nightly.sh $(NIGHTLY)

# What the targets above write
clean:
	rm -rf reports/demo reports/run .pytest_cache .mypy_cache .ruff_cache .hypothesis .venv-lowest nightly
