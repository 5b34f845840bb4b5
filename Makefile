# `make train` and `make test` work as the first command in a fresh clone: Python, a C++20 compiler and pip are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml requirements-dev.txt make/cuda_build.py \
  $(shell find csrc python -name '*.cpp' -o -name '*.h' -o -name '*.cu')

.PHONY: setup train test test-gpu fuzz lint format wheel check-install tiny-model clean

setup: $(VENV)/.built

# pip before the package: the development environment is pinned, and the build uses its torch
$(VENV)/.installed: requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

# for development one architecture is enough: `make wheel` builds them all. Every environment builds in this tree, so
# that all of them have to build the same.
INSTALL_FOR_EDITING := install --quiet --no-build-isolation --no-deps -e .
DEVELOPMENT_ARCHITECTURES := $(or $(TORCH_CUDA_ARCH_LIST),9.0)

$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	TORCH_CUDA_ARCH_LIST="$(DEVELOPMENT_ARCHITECTURES)" $(BIN)/pip $(INSTALL_FOR_EDITING)
	touch $@

train: setup
	$(BIN)/gapo-train run

# Both cores, a file at a time: a file's tests share what they build. OpenMP's threads wait for each other by spinning,
# which with two processes on two cores takes half of the time; here they give the core away soon.
test: setup
	GOMP_SPINCOUNT=1000 $(BIN)/python -m pytest -n 2 --dist loadfile

test-gpu: setup
	$(BIN)/python -m pytest -m gpu

# hypothesis against the float64 reference; the count is reported at the end
FUZZ_EXAMPLES ?= 200000
fuzz: setup
	GAPO_FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest tests/test_against_reference.py --timeout 0 -s

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	find csrc python tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' | xargs $(BIN)/clang-format --dry-run --Werror

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	find csrc python tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' | xargs $(BIN)/clang-format -i

wheel: setup
	$(BIN)/python -m build --wheel --no-isolation

# pip install ., with and without build isolation, and the wheel, each in an environment of its own
check-install: wheel
	bash tests/check_install.sh

tiny-model: setup
	$(BIN)/python -m gapo_trainer.tiny_model

clean:
	rm -rf build dist *.egg-info $(VENV) .venv-*

include make/adapters.mk
include make/bench.mk
include make/cpp.mk
include make/cuda.mk
include make/triton.mk
