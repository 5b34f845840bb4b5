# Benchmarks: `make bench` on a CPU, `make bench-gpu` on a machine with a CUDA device, `make report` from their results.

.PHONY: bench bench-gpu report

bench: setup
	$(BIN)/python -m bench.run_cpu --fresh
	$(BIN)/python -m bench.report

bench-gpu: setup
	PYTHON=$(BIN)/python bash bench/gpu.sh

report: setup
	$(BIN)/python -m bench.report
