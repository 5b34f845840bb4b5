# `make train` and `make test` work as the first command in a fresh clone: Python, a C++20 compiler and pip are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml requirements-dev.txt make/cuda_build.py make/result_flags.txt \
  $(shell find csrc python -name '*.cpp' -o -name '*.h' -o -name '*.cu')

.PHONY: setup train test test-gpu fuzz lint format wheel check-install tiny-model clean

setup: $(VENV)/.built

# Makes an environment from a requirements file, in half the time: a recent pip, if it can be downloaded, resolves
# faster than the one that Python brings, and compileall uses every core (files for other Pythons fail, silently).
install_requirements = (test -x $(1)/bin/python || $(PYTHON) -m venv $(1)) \
  && ($(1)/bin/python -m pip install -qq pip==26.3 || true) \
  && $(1)/bin/pip install -qq --no-compile -r $(2) \
  && ($(1)/bin/python -m compileall -qq -j 0 -x '/tests?/' $(1)/lib || true)

# For development one architecture is enough, with PTX for the tests' interpreter; `make wheel` builds them all. All
# environments build in this tree, so they have to build the same.
FOR_DEVELOPMENT := TORCH_CUDA_ARCH_LIST="$(or $(TORCH_CUDA_ARCH_LIST),9.0+PTX)"
INSTALL_FOR_EDITING := install --quiet --no-build-isolation --no-deps -e .

# Before the package: the development environment is pinned, and the build uses its torch. The CUDA kernels need neither,
# and are compiled beside it; what fails there is told when the package is built.
$(VENV)/.installed: requirements-dev.txt
	$(FOR_DEVELOPMENT) $(PYTHON) -m make.cuda_build >/dev/null 2>&1 & \
	  $(call install_requirements,$(VENV),$<); status=$$?; wait; exit $$status
	touch $@

$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	$(FOR_DEVELOPMENT) $(BIN)/pip $(INSTALL_FOR_EDITING)
	touch $@

train: setup
	$(BIN)/gapo-train run

# Both cores, a file at a time, in the order of tests/conftest.py: a file's tests share what they build. OpenMP's threads
# wait for each other by spinning, which with two processes on two cores wastes half of the time; the variable makes
# them yield the core sooner.
test: setup
	GOMP_SPINCOUNT=1000 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

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
	rm -rf build dist *.egg-info $(VENV) .venv-* gapo_kernels/*.so python/*.so

include make/adapters.mk
include make/bench.mk
include make/cpp.mk
include make/cuda.mk
include make/triton.mk
