"""A pytest plugin: the Triton kernels, run by Triton's interpreter, serve CPU tensors in place of the compiled ones.

So the op's own tests can be run on them. TRITON_INTERPRET has to be set before the process begins: nothing else runs in
it.
"""

import inspect
import warnings

import torch
import triton.language as tl
from triton.runtime import interpreter

from gapo_kernels.backends import OPS
from gapo_kernels.triton_kernels import ops

_library = torch.library.Library("gapo", "IMPL")  # keeps the registrations alive
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch says that the C++ kernels are put aside: that is the purpose
    for _op in OPS:
        _library.impl(_op, getattr(ops, _op), "CPU", allow_override=True)


def _patch_lang(fn, patch=interpreter._patch_lang):
    """Triton's own, where it has work: at every call of a device function it wraps the whole language once more."""
    languages = [value for value in fn.__globals__.values() if inspect.ismodule(value) and value in (tl, tl.core)]
    return patch(fn) if any(tl.core.is_builtin(language.load) for language in languages) else None


interpreter._patch_lang = _patch_lang
