"""The two passes of the token-level step: sum the rows, broadcast the advantages over the mask."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["stride", "count", "length"])
def row_sums(
    tokens,  # [count, length], rows `stride` values apart
    stride: tl.int64,
    sums,  # [count]
    count: tl.int64,
    length: tl.int64,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """The sum of each row, in float64, in an order that depends on the length alone; rounded once."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    total = tl.zeros([ROWS, COLUMNS], tl.float64)
    for first in range(0, length, COLUMNS):
        column = first + tl.arange(0, COLUMNS)[None, :]
        inside = (row < count) & (column < length)
        total += tl.load(tokens + row * stride + column, mask=inside, other=0.0).to(tl.float64)
    tl.store(sums + row, tl.sum(total, axis=1, keep_dims=True), mask=row < count)


@triton.jit(do_not_specialize=["stride", "count", "length"])
def broadcast_rows(
    values,  # [count], of the precision
    mask,  # [count, length], rows `stride` values apart
    stride: tl.int64,
    out,  # [count, length]
    count: tl.int64,
    length: tl.int64,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """A row's value * its mask, and 0 where the mask is 0: a NaN group leaves its padding 0."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    value = tl.load(values + row, mask=row < count, other=0.0)
    for first in range(0, length, COLUMNS):
        column = first + tl.arange(0, COLUMNS)[None, :]
        inside = (row < count) & (column < length)
        factor = tl.load(mask + row * stride + column, mask=inside, other=0).to(value.dtype)
        tl.store(out + row * length + column, tl.where(factor == 0, 0.0, value * factor), mask=inside)
