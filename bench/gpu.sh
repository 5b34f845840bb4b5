#!/usr/bin/env bash
# On a machine with a CUDA device: builds, tests, sanitises and measures, within ten minutes; prints a short table last.
# Usage: bench/gpu.sh [--out FOLDER] [--budget SECONDS] [--dry-run]
#   --out      also copies results and logs there
#   --budget   seconds for everything, 565 if not given; a part that is cut off may take 25 more to say what it found
#   --dry-run  no build, no sanitiser, small shapes on the CPU: shows that the script works, measures nothing
# PYTHON names the interpreter (python3); GAPO_COMMIT the commit, where the copy has no history; GAPO_GOLDEN the golden
# vectors, where they are not in ../shared. Nothing is downloaded.
set -uo pipefail
cd "$(dirname "$0")/.."

out= budget=565 dry_run=false
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2; shift ;;
    --budget) budget=$2; shift ;;
    --dry-run) dry_run=true ;;
    *) echo "bench/gpu.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
python=${PYTHON:-python3}
logs=$(mktemp -d)
results=bench/results/gpu.json
if $dry_run; then results=$logs/gpu.json; fi
at_the_end=130 # seconds for what may run side by side, the sanitisers and Triton's tests

# part NAME AT_MOST RESERVED COMMAND…: runs a part in at most AT_MOST seconds, so that RESERVED are left for what follows.
# Results and logs are saved after it: should the script itself be killed, the parts before are known.
part() {
  run_part "$@"
  local status=$?
  [ "$BASHPID" != $$ ] || save
  return $status
}
run_part() {
  local name=$1 at_most=$2 left=$((budget - SECONDS - $3)) begin=$SECONDS status word
  shift 3
  if [ "$left" -lt 5 ]; then
    echo "$name: left out, the time was spent" >"$logs/$name.summary"
    touch "$logs/failed"
    return 1
  fi
  # interrupted, pytest lists its failures and run_gpu.py its times; what runs in the background would ignore it
  timeout --signal=INT --kill-after=25 $((at_most < left ? at_most : left)) env --default-signal=INT "$@" \
    >"$logs/$name.log" 2>&1
  status=$?
  case $status in
    0) word=passed ;;
    124 | 137) word="cut off after $((SECONDS - begin)) s" ;;
    *) word="failed with $status" ;;
  esac
  echo "$name: $word, $((SECONDS - begin)) s; $(tail -n 1 "$logs/$name.log" | cut -c 1-160)" >"$logs/$name.summary"
  if [ $status -ne 0 ]; then
    touch "$logs/failed"
    printf '%s\n' "== $name" "$(tail -n 25 "$logs/$name.log" | cut -c 1-200)"
  fi
  return $status
}

# With xdist and pytest-timeout, where they are installed; a file that lacks a package is reported, the others run.
gpu_tests() { # FOLDER [OPTION…]
  local files folder=$1 cores
  shift
  mapfile -t files < <(grep -rl --include='test_*.py' 'mark\.gpu' "$folder")
  # their conftest files would stop the others, where these are missing
  "$python" -c 'import gapo_trainer.engine, gapo_trainer.config' 2>/dev/null ||
    mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -v -e /trainer/ -e /engine/)
  cores=$(nproc)
  if "$python" -c 'import xdist' 2>/dev/null; then
    set -- -n $((cores < 8 ? cores : 8)) --dist worksteal --max-worker-restart 200 "$@"
  else
    export GAPO_GPU_EXAMPLES=${GAPO_GPU_EXAMPLES:-2000} # one after the other, 10,000 take minutes
  fi
  # a kernel that hangs ends its worker, by name, and the others go on; no test takes more than a few seconds
  if "$python" -c 'import pytest_timeout' 2>/dev/null; then set -- -o timeout_method=thread -o timeout=25 "$@"; fi
  OMP_NUM_THREADS=2 "$python" -m pytest -v -o addopts= -p no:cacheprovider -m gpu --continue-on-collection-errors -rsfE \
    "${files[@]}" "$@"
}
export -f gpu_tests
export python

# Where nothing can be installed: the packages by links, in a folder that PYTHONPATH names.
build_in_place() {
  "$python" setup.py --quiet build_clib build_ext --inplace && mkdir -p build/site &&
    ln -sfn "$PWD/gapo_kernels" build/site/gapo_kernels && ln -sfn "$PWD/python" build/site/gapo_numpy &&
    ln -sfn "$PWD/trainer" build/site/gapo_trainer
}
export -f build_in_place

facts() {
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
  nvcc --version | tail -n 2
  "$python" -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__)'
}
export -f facts

sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
port=49152
sanitise() { # NAME TOOL [OPTION…]
  local name=$1 tool=$2
  shift 2
  # Without torch's cache of memory, which would hide an access past the end of a tensor. Blocks that wait for each other
  # fill the GPU, by the registers that the compiler gave them: the tools take some more.
  part "$name" 200 0 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 GAPO_BLOCKS_PER_SM=1 "$sanitizer" --tool "$tool" --port "$port" \
    --launch-timeout 60 --target-processes application-only --error-exitcode 9 "$@" "$python" -m bench.sanitized_calls
}

save() {
  [ -n "$out" ] || return 0
  mkdir -p "$out"
  tar -czf "$out/logs.tar.gz" -C "$logs" . 2>/dev/null
  [ ! -f "$results" ] || cp "$results" "$out/"
}

# Waits for what runs side by side, but no longer than the time goes: a process may hang where no signal ends it.
wait_for_all() {
  while [ -n "$(jobs -r)" ] && [ $SECONDS -lt $((budget + 25)) ]; do sleep 1; done
}

finish() {
  save
  echo
  tail -n 30 "$logs/measure.log" 2>/dev/null
  echo
  find "$logs" -name '*.summary' -printf '%T@ %p\n' | sort -n | cut -d ' ' -f 2- | xargs -r cat
  echo "$SECONDS s in all; logs in $logs"
}
trap finish EXIT

if $dry_run; then
  part tests 150 60 bash -c 'gpu_tests tests --collect-only -q'
  part measure 120 30 "$python" -m bench.run_gpu --device cpu --small --budget 60 --out "$results"
  part calls 60 0 "$python" -m bench.sanitized_calls --device cpu &
  wait_for_all
else
  part facts 90 400 bash -c facts
  architecture=$("$python" -c 'import torch; print("{}.{}".format(*torch.cuda.get_device_capability()))') || {
    echo "bench/gpu.sh: $python sees no CUDA device; --dry-run rehearses without one" >&2
    exit 1
  }
  # the sanitisers name lines; an older build would be measured
  export GAPO_CUDA=1 TORCH_CUDA_ARCH_LIST="$architecture" MAX_JOBS="$(nproc)" NVCC_APPEND_FLAGS=-lineinfo
  part build 300 230 "$python" -m pip install --quiet --no-index --no-deps --no-build-isolation -e . ||
    part build_in_place 300 230 bash -c build_in_place || exit 1
  export PYTHONPATH=$PWD/build/site${PYTHONPATH:+:$PYTHONPATH}
  # A fault ends a process's every later CUDA call: tests/end_of_device.py writes down what met it, and ends the worker.
  export GAPO_FAULTS=$logs/faults.log
  part tests 170 $((at_the_end + 100)) bash -c 'gpu_tests tests' ||
    {
      part tests_without_early_launches 40 $((at_the_end + 80)) env GAPO_PDL=0 bash -c 'gpu_tests tests/gpu -k "$0"' \
        'graph or feed or run_to_run or tokens'
      part tests_without_clusters 20 $((at_the_end + 60)) env GAPO_CLUSTERS=0 bash -c 'gpu_tests tests/gpu -k "$0"' \
        'boundaries and (16384 or 32769 or 131072)'
    }
  [ ! -f "$GAPO_FAULTS" ] || sed 's/^/fault: /' "$GAPO_FAULTS" | cut -c 1-200
  nvidia-smi --query-compute-apps=pid,name --format=csv >"$logs/processes_before_measuring.log"
  for resume in '' --resume --resume; do # a case that hangs ends its process with 3; the next one leaves it out
    seconds=$((budget - SECONDS - at_the_end - 35)) # the last case may go on for half a minute
    part measure 280 "$at_the_end" "$python" -m bench.run_gpu --out "$results" $resume \
      --budget $((seconds < 240 ? seconds : 240))
    [ $? -eq 3 ] || break
  done

  sanitise memcheck memcheck --report-api-errors no --padding 256 &
  port=$((port + 20)) sanitise initcheck initcheck &
  port=$((port + 40)) sanitise synccheck synccheck &
  # Two kernels read shared memory, volatile, that others change by atomics (atomic_peek: a bin's extremes, a slot of the
  # table of ids): no race by CUDA's memory model, but a sanitiser may call it one. So they have lines of their own.
  port=$((port + 60)) sanitise racecheck racecheck --kernel-name-exclude kns=large_groups \
    --kernel-name-exclude kns=sort_few_ids &
  port=$((port + 80)) sanitise racecheck_of_large_groups racecheck --kernel-name kns=large_groups &
  port=$((port + 100)) sanitise racecheck_of_few_ids racecheck --kernel-name kns=sort_few_ids &
  # Every rule, dtype and class compiles a kernel, a second or more each: those that remain are some four hundred.
  part tests_of_triton 200 0 env GAPO_BACKEND=triton bash -c 'gpu_tests tests/gpu -o timeout=110 -k "$0"' \
    'not random_calls and not boundaries and not corner_cases and not ragged_groups_up_to and (float32 or not torch.)' &
  wait_for_all
fi
[ ! -e "$logs/failed" ]
