"""A block sorts a group in memory, where torch's sort would need the host: runs in registers, then merged two by two.

Each reward finds its place in a merged run by a binary search in the other run.
"""

import triton
import triton.language as tl

from gapo_kernels.triton_kernels.formulas import precision_of
from gapo_kernels.triton_kernels.registers import collect, sort_group, spread
from gapo_kernels.triton_kernels.rows import load_rows


@triton.jit
def sort_runs(rewards, rows, begin, size, out, precision: tl.constexpr,
              RUNS: tl.constexpr, LANES: tl.constexpr, R: tl.constexpr):  # fmt: skip
    """Each LANES * R rewards of the group sorted, in ``out`` [size]; RUNS such runs at a time. Whether any is NaN."""
    run = tl.arange(0, RUNS)[:, None] * (LANES * R) + tl.arange(0, LANES * R)[None, :]
    lane = tl.arange(0, LANES)[None, :]
    spoiled = tl.full([], 0, tl.int32)
    for first in range(0, size, RUNS * LANES * R):
        column = first + run
        inside = column < size
        tile, _rows = load_rows(rewards, rows, begin + column, inside, float("inf"))
        x = tile.to(precision)
        spoiled = spoiled | tl.max((x != x).to(tl.int32))
        v = sort_group(spread(x, RUNS, LANES, R), lane, LANES, R)
        tl.store(out + column, collect(v, RUNS, LANES, R), mask=inside)
    return spoiled != 0


@triton.jit
def merge_runs(runs, merged, size, run, precision: tl.constexpr, CHUNK: tl.constexpr):
    """Merges neighbours of the sorted runs of ``run`` rewards; of equal rewards those of the left run come first."""
    for first in range(0, size, CHUNK):
        column = first + tl.arange(0, CHUNK)
        inside = column < size
        x = tl.load(runs + column, mask=inside, other=0.0).to(precision)
        own = column // run * run
        in_left = column // run % 2 == 0
        other = tl.minimum(tl.where(in_left, own + run, own - run), size)
        low = other
        high = tl.minimum(other + run, size)
        step = run
        while step > 0:  # the least position of the other run that does not come before x
            probe = (low + high) // 2
            y = tl.load(runs + probe, mask=inside & (low < high), other=0.0).to(precision)
            before = tl.where(in_left, y < x, y <= x) & (low < high)
            low = tl.where(before, probe + 1, low)
            high = tl.where(before, high, probe)
            step = step // 2
        place = tl.minimum(own, other) + (column - own) + (low - other)
        tl.store(merged + place, x, mask=inside)


@triton.jit
def sort_in_memory(rewards, rows, begin, size, runs, spare, precision: tl.constexpr,
                   CHUNK: tl.constexpr, RUNS: tl.constexpr, LANES: tl.constexpr, R: tl.constexpr):  # fmt: skip
    """Where the group [size] lies sorted: in runs or spare. With a NaN the last value is NaN, as torch sorts it."""
    s, merged = runs + begin, spare + begin
    has_nan = sort_runs(rewards, rows, begin, size, s, precision, RUNS, LANES, R)
    run = size * 0 + LANES * R
    while run < size:
        tl.debug_barrier()  # the block reads what its other threads wrote
        merge_runs(s, merged, size, run, precision, CHUNK)
        s, merged = merged, s
        run = run * 2
    tl.debug_barrier()
    if has_nan:
        tl.store(s + size - 1, float("nan"))
    tl.debug_barrier()
    return s


@triton.jit(do_not_specialize=["count", "group_size"], do_not_specialize_on_alignment=["runs", "spare"])
def sort_groups(
    rewards,  # [count, group_size]
    runs,  # as rewards
    spare,  # as rewards
    count: tl.int64,
    group_size: tl.int64,
    CHUNK: tl.constexpr,
    RUNS: tl.constexpr,
    LANES: tl.constexpr,
    R: tl.constexpr,
):
    """Dense groups, each sorted by one block: after an even number of merges the result lies in runs, else in spare."""
    precision: tl.constexpr = precision_of(rewards.dtype.element_ty)
    for group in range(tl.program_id(0).to(tl.int64), count, tl.num_programs(0)):
        sort_in_memory(
            rewards, None, group * group_size, group_size, runs, spare, precision, CHUNK, RUNS, LANES, R
        )  # fmt: skip
