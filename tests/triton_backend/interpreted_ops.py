"""A pytest plugin: the Triton kernels, run by Triton's interpreter, serve CPU tensors in place of the compiled ones.

So the op's own tests can be run on them. TRITON_INTERPRET has to be set before the process begins: nothing else runs in
it.
"""

import warnings

import torch

from gapo_kernels.backends import OPS
from gapo_kernels.triton_kernels import ops

_library = torch.library.Library("gapo", "IMPL")  # keeps the registrations alive
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch says that the C++ kernels are put aside: that is the purpose
    for _op in OPS:
        _library.impl(_op, getattr(ops, _op), "CPU", allow_override=True)
