"""Which layout serves which group size: the one table that the launches, the tests and docs/triton.md read.

A group of up to ``capacity`` = lanes x rewards is sorted in registers, in one launch; a longer one in memory, where
``shared_groups.py`` and ``long_groups.py`` score it. One class a power of two: a training run whose group sizes change
compiles each class once.
"""

from __future__ import annotations

from typing import NamedTuple


class Tier(NamedTuple):
    """How one class of group sizes is laid out over threads."""

    lanes: int  # threads that share a group; 1: one thread per group
    rewards: int  # that each of them holds in registers
    threads: int  # of a block

    @property
    def capacity(self) -> int:
        """The largest group."""
        return self.lanes * self.rewards

    @property
    def groups(self) -> int:
        """How many groups a block scores."""
        return self.threads // self.lanes

    def layout(self, full: bool) -> dict[str, int]:
        """The constants of ``short_groups``, for groups of exactly ``capacity`` rewards or of any size.

        One load brings all of a shared group, and of a thread's own 16 bytes where it is full. Where it is not, Triton
        would bring each such load into another layout before it issues the next one, and up to 3.7 sort in that
        layout, in eight lanes at once.
        """
        loaded = self.rewards if self.lanes > 1 else min(self.rewards, 4) if full else 1
        return {"full": full, "LANES": self.lanes, "R": self.rewards, "LOADED": loaded, "GROUPS": self.groups}


# The fewest lanes that keep the rewards in registers (docs/triton.md has what compiling each row showed).
TIERS = (
    Tier(1, 2, 64),
    Tier(1, 4, 64),
    Tier(1, 8, 64),
    Tier(1, 16, 64),
    Tier(1, 32, 64),
    Tier(4, 16, 128),
    Tier(8, 16, 128),
    Tier(16, 16, 128),
    Tier(32, 16, 128),
    Tier(32, 32, 128),
)

# A ragged batch is scored by one launch a range of sizes, each passing over the groups of the others: a layout for the
# largest group would leave most lanes idle on the small ones. Upper ends; the last range ends at the largest group.
RAGGED_RANGES = (32, 128)

# Longer groups. Dense ones are sorted by torch, and a block walks over each span of LONG_SPAN rewards, of at most
# MOST_SPANS: each reads what all of them found. Ragged ones are sorted and scored by one block each.
LONG_CHUNK = 1024  # rewards that a block walks over at a time
LONG_SPAN = 4 * LONG_CHUNK
MOST_SPANS = 1024
LONG_RUNS = Tier(32, 16, 256)  # how a block sorts a group in memory: runs of 512, eight at a time
LONG_TILE = (LONG_CHUNK, LONG_RUNS.groups, LONG_RUNS.lanes, LONG_RUNS.rewards)
LONG_BLOCKS = 4096  # of a launch, at most: more than run at once, and few where most of a large batch is short

TOKENS = 1024  # tokens that a block of tokens.py reads at a time
TOKEN_THREADS = 128


def largest_short(itemsize: int) -> int:
    """The largest group that is sorted in registers, from the bytes of a reward as it is computed.

    32 x 32 float64 rewards do not always fit: some rules with statistics spill.
    """
    return TIERS[-1 if itemsize <= 4 else -2].capacity


def tier_of(group_size: int) -> Tier:
    """The class of groups of up to ``group_size`` rewards, at most the last tier's."""
    return next(tier for tier in TIERS if group_size <= tier.capacity)


def ragged_tiers(largest: int) -> list[tuple[int, Tier]]:
    """Which launches score groups of up to ``largest`` rewards: (sizes above this, in this tier)."""
    ends = [end for end in RAGGED_RANGES if end < largest] + [largest]
    return list(zip([0, *ends], map(tier_of, ends), strict=False))


def span_of(group_size: int) -> int:
    """The rewards of one block of ``shared_groups.py``: whole chunks. Of the group's size only, as its bits are."""
    return max(LONG_SPAN, -(-group_size // (MOST_SPANS * LONG_CHUNK)) * LONG_CHUNK)


def merges_of(group_size: int) -> int:
    """How often runs are merged two by two until one is left."""
    return (-(-group_size // LONG_RUNS.capacity) - 1).bit_length()
