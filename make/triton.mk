# Compiles the Triton kernels for every target, in every class, form and rule: no GPU is needed.

.PHONY: check-archs check-triton-ptx

check-archs: setup
	GAPO_TRITON_TARGETS="sm_80 sm_90 sm_100 gfx942" GAPO_TRITON_EVERY_CLASS=1 \
	  $(BIN)/python -m pytest tests/triton_backend/test_ahead_of_time.py --timeout 0
	GAPO_TRITON_TARGETS="sm_89 sm_120 gfx90a gfx950" \
	  $(BIN)/python -m pytest tests/triton_backend/test_ahead_of_time.py --timeout 0

check-triton-ptx: setup
	GAPO_EVERY_RULE=1 $(BIN)/python -m pytest tests/triton_backend/test_triton_on_the_cpu.py --timeout 0
