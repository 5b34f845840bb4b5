"""Groups that lie in registers: sort them, shift them by ranks, read a rank.

A group is a tuple of R tensors [groups, lanes]. Sorted, the reward of rank lane * R + r is value r of that lane, so R
ascending rewards lie in one thread, and the network between them is straight-line code. Triton has no arrays of
registers; a tuple that is rebuilt is one.
"""

import triton
import triton.language as tl

from gapo_kernels.triton_kernels.networks import bitonic_merge, merge_exchange


@triton.constexpr_function
def log2(power):
    """Of a power of two."""
    return power.bit_length() - 1


@triton.jit
def run_network(v, network: tl.constexpr):
    """The comparators of a network, one after the other, on the values of each thread.

    Hardware has the smaller and the larger of two float32; for float64 one comparison serves both.
    """
    for c in tl.static_range(len(network)):
        x, y = v[network[c][0]], v[network[c][1]]
        if x.dtype == tl.float64:
            swapped = y < x
            low, high = tl.where(swapped, y, x), tl.where(swapped, x, y)
        else:
            low, high = tl.minimum(x, y), tl.maximum(x, y)
        between = v[network[c][0] + 1 : network[c][1]]
        v = v[: network[c][0]] + (low,) + between + (high,) + v[network[c][1] + 1 :]
    return v


@triton.jit
def from_lane(v, lane):
    """The values of another lane of the group, or of one lane for all: a warp shuffle each."""
    if v[0].shape[1] == 1:
        return v
    else:
        at = tl.broadcast_to(lane, [v[0].shape[0], lane.shape[1]])
        out = ()
        for r in tl.static_range(len(v)):
            out = out + (tl.gather(v[r], at, axis=1),)
        return out


@triton.jit
def exchange_lanes(v, partner, keeps_low, reverse: tl.constexpr, R: tl.constexpr):
    """Keeps the smaller or the larger of each value and the partner lane's; reversed where two ascending runs meet.

    One comparison and one selection: both lanes may keep the same one of two equal values, and nothing else.
    """
    others = from_lane(v, partner)
    out = ()
    for r in tl.static_range(R):
        other = others[R - 1 - r if reverse else r]
        out = out + (tl.where((other < v[r]) == keeps_low, other, v[r]),)
    return out


@triton.jit
def sort_group(v, lane, LANES: tl.constexpr, R: tl.constexpr):
    """Sorts each group: a network in each thread, then the runs of 1, 2, 4, … lanes are merged bitonically.

    The levels are loops at run time: written out, they would make the largest class half a minute's work to compile.
    """
    v = run_network(v, merge_exchange(R))
    for level in range(log2(LANES)):
        v = exchange_lanes(v, lane ^ ((2 << level) - 1), (lane & (1 << level)) == 0, True, R)
        for step in range(1, level + 1):
            v = exchange_lanes(v, lane ^ (1 << (level - step)), (lane & (1 << (level - step))) == 0, False, R)
        v = run_network(v, bitonic_merge(R))
    return v


@triton.jit
def shift_ranks(v, ranks, lane, LANES: tl.constexpr, R: tl.constexpr):
    """At each rank the value that lies ``ranks`` [groups, 1] further up; beyond the last rank anything."""
    for bit in tl.static_range(log2(R)):
        taken = (ranks & (1 << bit)) != 0
        extended = v + from_lane(v[: 1 << bit], (lane + 1) & (LANES - 1))
        out = ()
        for r in tl.static_range(R):
            out = out + (tl.where(taken, extended[r + (1 << bit)], v[r]),)
        v = out
    return from_lane(v, (lane + (ranks >> log2(R))) & (LANES - 1))


@triton.jit
def value_at(v, rank, LANES: tl.constexpr, R: tl.constexpr):
    """The value of one rank [groups, 1] of each group; anything where there is no such rank."""
    for level in tl.static_range(1, log2(R) + 1):
        taken = (rank & (R >> level)) != 0
        out = ()
        for r in tl.static_range(R >> level):
            out = out + (tl.where(taken, v[r + (R >> level)], v[r]),)
        v = out
    return from_lane(v, (rank >> log2(R)) & (LANES - 1))[0]


@triton.jit
def spread(tile, GROUPS: tl.constexpr, LANES: tl.constexpr, R: tl.constexpr):
    """A tile [groups, lanes * R] as R values a lane; which value goes where is decided by the memory's order."""
    v = (tl.reshape(tile, [GROUPS, LANES, R]),)
    for level in tl.static_range(1, log2(R) + 1):
        out = ()
        for i in tl.static_range(1 << (level - 1)):
            even, odd = tl.split(tl.reshape(v[i], [GROUPS, LANES, R >> level, 2]))
            out = out + (even, odd)
        v = out
    out = ()
    for r in tl.static_range(R):
        out = out + (tl.reshape(v[r], [GROUPS, LANES]),)
    return out


@triton.jit
def collect(v, GROUPS: tl.constexpr, LANES: tl.constexpr, R: tl.constexpr):
    """R values a lane as a tile [groups, lanes * R], in the order of their ranks."""
    for level in tl.static_range(1, log2(R) + 1):
        out = ()
        for i in tl.static_range(R >> level):
            out = out + (tl.join(v[i], v[i + (R >> level)]),)
        v = out
    return tl.reshape(v[0], [GROUPS, LANES * R])
