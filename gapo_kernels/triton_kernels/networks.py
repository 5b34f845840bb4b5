"""Sorting networks as lists of comparators (low, high): after one, value[low] <= value[high].

Plain Python, run while a kernel is compiled; as constexpr functions their source is part of the kernels' cache keys.
"""

import triton


@triton.constexpr_function
def merge_exchange(n):
    """Sorts any n values: Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M)."""
    comparators = []
    top = 1
    while top * 2 < n:
        top *= 2
    p = top if n > 1 else 0
    while p > 0:
        q, r, d = top, 0, p
        while True:
            comparators += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            q, r, d = q // 2, p, q - p
        p //= 2
    return tuple(comparators)


@triton.constexpr_function
def bitonic_merge(n):
    """Sorts n values that form a bitonic sequence, n a power of two."""
    strides = [n >> level for level in range(1, n.bit_length())]
    return tuple((i, i + stride) for stride in strides for i in range(n) if not i & stride)
