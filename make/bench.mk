# Benchmarks: `make bench` on a CPU, `make bench-gpu` on a machine with a CUDA device, `make report` from their results.

.PHONY: bench bench-gpu report

bench: setup
	$(BIN)/python bench/run_cpu.py --fresh
	$(BIN)/python bench/report.py

bench-gpu: setup
	PYTHON=$(BIN)/python bash bench/gpu.sh

report: setup
	$(BIN)/python bench/report.py
