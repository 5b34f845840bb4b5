#!/usr/bin/env bash
# On a machine with a CUDA device: builds, tests, sanitises and measures, within ten minutes; prints a short table last.
# Usage: bench/gpu.sh [--out FOLDER] [--budget SECONDS] [--dry-run]
#   --out      also copies results and logs there
#   --budget   seconds for everything, 580 if not given
#   --dry-run  no build, no sanitiser, small shapes on the CPU: shows that the script works, measures nothing
# PYTHON names the interpreter (python3); GAPO_COMMIT the commit, where the copy has no history. Nothing is downloaded.
set -uo pipefail
cd "$(dirname "$0")/.."

out= budget=580 dry_run=false
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
summary=()
failed=0

# part NAME AT_MOST RESERVED COMMAND…: runs a part in at most AT_MOST seconds, so that RESERVED are left for what follows.
part() {
  local name=$1 at_most=$2 left=$((budget - SECONDS - $3)) begin=$SECONDS status word
  shift 3
  if [ "$left" -lt 5 ]; then
    summary+=("$name: left out, the time was spent")
    failed=1
    return 1
  fi
  timeout --kill-after=5 $((at_most < left ? at_most : left)) "$@" >"$logs/$name.log" 2>&1
  status=$?
  case $status in
    0) word=passed ;;
    124 | 137) word="cut off after $((SECONDS - begin)) s" ;;
    *) word="failed with $status" ;;
  esac
  summary+=("$name: $word, $((SECONDS - begin)) s; $(tail -n 1 "$logs/$name.log" | cut -c 1-160)")
  [ $status -eq 0 ] || { failed=1; echo "== $name"; tail -n 25 "$logs/$name.log"; }
  return $status
}

# without pytest's plugins, which may not be installed; a file that lacks a package is reported, and the others run
gpu_tests() { # FOLDER [OPTION…]
  local files folder=$1
  shift
  mapfile -t files < <(grep -rl --include='test_*.py' 'gpu' "$folder")
  "$python" -m pytest -q -o addopts= -p no:cacheprovider -m gpu --continue-on-collection-errors -rs "${files[@]}" "$@"
}
export -f gpu_tests
export python

facts() {
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
  nvcc --version | tail -n 2
  "$python" -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__)'
}
export -f facts

finish() {
  if [ -n "$out" ]; then
    mkdir -p "$out"
    tar -czf "$out/logs.tar.gz" -C "$logs" .
    [ ! -f "$results" ] || cp "$results" "$out/"
  fi
  echo
  tail -n 30 "$logs/measure.log" 2>/dev/null
  echo
  printf '%s\n' "${summary[@]}"
  echo "$SECONDS s in all; logs in $logs"
}
trap finish EXIT

if $dry_run; then
  part tests 150 30 bash -c 'gpu_tests tests --collect-only'
  part measure 120 0 "$python" bench/run_gpu.py --device cpu --small --budget 60 --out "$results"
else
  part facts 30 500 bash -c facts
  architecture=$("$python" -c 'import torch; print("{}.{}".format(*torch.cuda.get_device_capability()))') || {
    echo "bench/gpu.sh: $python sees no CUDA device; --dry-run rehearses without one" >&2
    exit 1
  }
  part build 300 230 env GAPO_CUDA=1 TORCH_CUDA_ARCH_LIST="$architecture" MAX_JOBS="$(nproc)" \
    "$python" -m pip install --quiet --no-index --no-deps --no-build-isolation -e . || exit 1 # an older build would be measured
  part tests 150 170 bash -c 'gpu_tests tests'
  seconds=$((budget - SECONDS - 110)) # the last case may go on for half a minute, and 80 are for the sanitiser
  part measure 210 80 "$python" bench/run_gpu.py --out "$results" --budget $((seconds < 180 ? seconds : 180))
  part tests_of_triton 90 80 env GAPO_BACKEND=triton bash -c 'gpu_tests tests/gpu'
  for tool in memcheck racecheck initcheck synccheck; do
    # without torch's cache of memory, which would hide an access past the end of a tensor
    part "$tool" 45 0 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 \
      compute-sanitizer --tool "$tool" --error-exitcode 9 "$python" bench/sanitized_calls.py
  done
fi
exit $failed
