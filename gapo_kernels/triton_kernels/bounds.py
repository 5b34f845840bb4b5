"""Which groups a launch scores, and where they lie: what the kernels for short and for long groups have in common."""

import triton
import triton.language as tl

# Nothing is compiled anew for a special value of these
RUNTIME = ["count", "group_size", "above", "total", "tau", "eps"]
# nor for how these are aligned.
POINTERS = ["valid", "begins", "ends", "rows", "stats"]


@triton.jit
def group_bounds(group, begins, ends, rows, count, group_size, above, total, largest: tl.constexpr):
    """Where each group begins, and its size: 0 for what this launch does not score.

    Dense: begins is None. Ragged: group g is begins[g] … ends[g]. By id (rows is not None): begins and ends are of the
    segment that position p lies in. A segment of more than ``above`` rows holds a multiple of ``above + 1``, so only
    those positions are looked at, and the first one in a segment stands for it. The host has not seen a caller's
    offsets: a ragged group that does not lie within the rewards is not scored either.
    """
    if begins is None:
        return group * group_size, tl.where(group < count, group_size, 0)
    else:
        position = group
        if rows is not None:
            position = group * (above + 1)
        inside = position < count
        begin = tl.load(begins + position, mask=inside, other=0).to(tl.int64)
        end = tl.load(ends + position, mask=inside, other=0).to(tl.int64)
        size = end - begin
        in_range = size > above
        if rows is None:
            in_range = in_range & (begin >= 0) & (end <= total)
        if largest is not None:
            in_range = in_range & (size <= largest)
        if rows is not None:
            in_range = in_range & (begin + above >= position)
        return begin, tl.where(in_range, size, 0)
