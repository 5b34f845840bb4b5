#!/usr/bin/env bash
# Installs the package in every way a user would, each into a fresh environment, and computes from another folder.
# Usage: tests/check_install.sh, after `make wheel`. OTHER_TORCH=2.14.1 also runs the wheel, as built, on that torch, and
# builds against that torch's headers: with the oldest, 2.10, that shows that the code uses nothing newer.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python=${PYTHON:-python3}
pinned=$(grep '^torch==' requirements-dev.txt)
numpy=$(grep '^numpy==' requirements-dev.txt)

compute() { # environment
  (cd "$scratch" && "$1/bin/python" -W error -c '
import gapo_kernels, torch
result = torch.ops.gapo.advantage(torch.tensor([[1.0, 2.0, 3.0, 10.0]]))
assert torch.allclose(result, torch.tensor([[-0.1, 0.1, 0.3, 1.7]]), atol=1e-3), result
assert not gapo_kernels.__file__.startswith("'"$root"'"), gapo_kernels.__file__
from importlib.metadata import entry_points
import gapo_kernels.adapters.slime
assert "gapo_kernels.adapters.verl" in [point.value for point in entry_points(group="verl.plugins")]
print("computed with torch", torch.__version__)
')
}

# environment, yes | no, [where the package lies, if not there]: whether the CUDA library was built in; with a torch without
# CUDA it lies there unused
check_cuda_library() {
  local library
  library=$(find "${3:-$1}" -name _C_cuda.so)
  if [ "$2" = yes ]; then [ -n "$library" ]; else [ -z "$library" ]; fi ||
    { echo "the CUDA library should be there: $2; found '$library'"; exit 1; }
  (cd "$scratch" && "$1/bin/python" -m gapo_kernels.doctor | grep -E '^  cuda +not in use +torch .* has no CUDA$')
}
with_nvcc=$(command -v nvcc >/dev/null && echo yes || echo no)

echo "== pip install . --no-build-isolation"
$python -m venv "$scratch/plain"
"$scratch/plain/bin/pip" install --quiet "$pinned" "$numpy" $(grep -E '^(setuptools|pybind11)==' requirements-dev.txt)
"$scratch/plain/bin/pip" install --quiet --no-build-isolation .
compute "$scratch/plain"

echo "== pip install . without nvcc"
$python -m venv "$scratch/isolated"
"$scratch/isolated/bin/pip" install --quiet "$pinned" "$numpy"
CUDA_HOME=/nonexistent "$scratch/isolated/bin/pip" install --quiet .
compute "$scratch/isolated"
check_cuda_library "$scratch/isolated" no

echo "== the wheel"
$python -m venv "$scratch/wheel"
"$scratch/wheel/bin/pip" install --quiet "$pinned" "$numpy"
"$scratch/wheel/bin/pip" install --quiet --no-deps dist/*.whl
compute "$scratch/wheel"
check_cuda_library "$scratch/wheel" "$with_nvcc"

echo "== the source archive, made without nvcc, from a tree without git"
mkdir "$scratch/source" # nothing is compiled there, as it is in this one
git ls-files -z | tar --null --files-from - -c | tar -x -C "$scratch/source"
"$scratch/plain/bin/pip" install --quiet $(grep '^build==' requirements-dev.txt)
(cd "$scratch/source" && CUDA_HOME=/nonexistent "$scratch/plain/bin/python" -m build --sdist --no-isolation \
  --outdir "$scratch/archive" >/dev/null)
$python -m venv "$scratch/archived"
"$scratch/archived/bin/pip" install --quiet "$pinned" "$numpy" $(grep -E '^(setuptools|pybind11)==' requirements-dev.txt)
CUDA_HOME=/nonexistent "$scratch/archived/bin/pip" install --quiet --no-build-isolation --no-deps "$scratch"/archive/*.tar.gz
compute "$scratch/archived"

echo "== pip install -e . without nvcc, where there was one before"
touch "$scratch/source/gapo_kernels/_C_cuda.so"
CUDA_HOME=/nonexistent "$scratch/archived/bin/pip" install --quiet --no-build-isolation --no-deps -e "$scratch/source"
compute "$scratch/archived"
check_cuda_library "$scratch/archived" no "$scratch/source"

if [ -n "${OTHER_TORCH:-}" ]; then
  echo "== the wheel on torch $OTHER_TORCH"
  $python -m venv "$scratch/other"
  "$scratch/other/bin/pip" install --quiet "torch==$OTHER_TORCH" "$numpy"
  "$scratch/other/bin/pip" install --quiet --no-deps dist/*.whl
  compute "$scratch/other"

  echo "== pip install . --no-build-isolation against the headers of torch $OTHER_TORCH"
  "$scratch/other/bin/pip" install --quiet $(grep -E '^(setuptools|pybind11)==' requirements-dev.txt)
  TORCH_CUDA_ARCH_LIST=9.0 "$scratch/other/bin/pip" install --quiet --force-reinstall --no-deps --no-build-isolation \
    "$scratch/source"
  compute "$scratch/other"
fi
