"""Groups spread over the ranks are scored as one rank with all rows scores them, to the bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from op_samples import DTYPES, rewards_of

from gapo_kernels import advantage_by_id, distributed

# Rows of each rank; an empty one among them, one with a single row, and hardly any rows at all: what is sent is packed.
COUNTS = {
    2: [(8, 8), (0, 5), (13, 1), (1, 0), (0, 0)],
    4: [(4, 4, 4, 4), (3, 0, 17, 2), (0, 1, 0, 0)],
}


def check(rank: int, world: int, counts: tuple[int, ...]) -> None:
    total, first = sum(counts), sum(counts[:rank])
    mine = slice(first, first + counts[rank])
    numbers = (torch.arange(total) * 7 % 5) * 10**12 - 3  # spread over all ranks
    names = [f"uid-{number}" for number in numbers.tolist()]
    keep = torch.ones(total, dtype=torch.bool)
    keep[total - counts[-1] :] = torch.arange(counts[-1]) % 2 == 0
    for dtype in DTYPES:
        rewards = rewards_of(total, dtype=dtype, seed=total)
        local = rewards[mine]
        for options in ({}, {"estimator": "rloo"}, {"tau": 0.8, "center": "hdi_mean", "scale": "mad", "eps": 1e-3}):
            expected = advantage_by_id(rewards, numbers, **options)[mine]
            assert expected.dtype == dtype
            for ids in (numbers[mine], numbers[mine].numpy(), names[mine]):
                assert torch.equal(distributed.advantage(local, ids, **options), expected)
        expected = advantage_by_id(rewards, numbers, valid=keep)[mine]
        on_the_last = keep[mine] if rank == world - 1 else None  # the other ranks give none
        assert torch.equal(distributed.advantage(local, numbers[mine], valid=on_the_last), expected)
    rewards = rewards_of(total).requires_grad_()
    assert not distributed.advantage(rewards[mine], numbers[mine].to(torch.int32)).requires_grad


def check_a_smaller_group(rank: int) -> None:
    """Ranks 0 and 1 alone: the others' rows are not theirs."""
    pair = dist.new_group([0, 1])
    if rank < 2:
        rewards = rewards_of(10)
        result = distributed.advantage(rewards[rank::2], [0, 0, 1, 1, 1], pair)
        both = torch.cat([rewards[0::2], rewards[1::2]])
        expected = advantage_by_id(both, [0, 0, 1, 1, 1] * 2)
        assert torch.equal(result, expected[5 * rank : 5 * rank + 5])
    else:
        with pytest.raises(ValueError, match=r"^process_group expects a group that this rank is in$"):
            distributed.advantage(rewards_of(5), [0, 0, 1, 1, 1], pair)


def check_the_last_ranks_alone(rank: int, world: int) -> None:
    """A rank's place in its group is not its place in the world; ids have 64 bits on the way, too."""
    last = dist.new_group([*range(world // 2, world)])
    members = dist.get_process_group_ranks(last)
    if rank in members:
        place, rewards, ids = members.index(rank), rewards_of(5 * len(members)), [0, 0, 2**32, 2**32, 2**32]
        expected = advantage_by_id(rewards, torch.tensor(ids * len(members)))[5 * place : 5 * place + 5]
        for mine in (ids, torch.tensor(ids)):
            assert torch.equal(distributed.advantage(rewards[5 * place : 5 * place + 5], mine, last), expected)


def check_a_rank_without_rows(rank: int) -> None:
    """Rank 0 has all rows; the others' empty ids and rewards may be of any kind."""
    rewards, numbers = rewards_of(6, dtype=torch.float64), torch.tensor([5, 5, 7, 7, 7, 5])
    for ids in (numbers, numbers.numpy(), [f"uid-{number}" for number in numbers.tolist()]):
        for none in ([], np.array([]), np.array([], dtype=str), torch.zeros(0, dtype=torch.int32)):
            mine = (rewards, ids) if rank == 0 else (rewards_of(0, dtype=torch.float16), none)
            result = distributed.advantage(*mine)
            assert result.dtype == mine[0].dtype
            assert torch.equal(result, advantage_by_id(rewards, numbers) if rank == 0 else mine[0])


def check_errors() -> None:
    """All ranks are wrong alike."""
    rewards, ids = rewards_of(3), [0, 0, 0]
    with pytest.raises(TypeError, match="rewards expects a tensor, got list"):
        distributed.advantage([0.5] * 3, ids)
    for wrong in ("abc", {1, 2, 3}, iter(ids)):
        with pytest.raises(TypeError, match="group_ids expects a tensor, an array or a sequence of ids, got "):
            distributed.advantage(rewards, wrong)
    with pytest.raises(ValueError, match=r"estimator expects one of .*, got 'ppo'"):
        distributed.advantage(rewards, ids, estimator="ppo")
    for given, wrong, options, expected in (
        (rewards.unsqueeze(0), ids, {}, r"float rewards \[N\], got float32 \[1, 3\]"),
        (rewards.long(), ids, {}, r"float rewards \[N\], got int64 \[3\]"),
        (rewards, torch.zeros(2, dtype=torch.int64), {}, r"integer group_ids \[N\] with N = 3, got int64 \[2\]"),
        (rewards, ["a", "b"], {}, r"integer group_ids \[N\] with N = 3, got int64 \[2\]"),
        (rewards, torch.ones(3), {}, r"integer group_ids \[N\] with N = 3, got float32 \[3\]"),
        (rewards, torch.ones(3, dtype=torch.bool), {}, r"integer group_ids \[N\] with N = 3, got bool \[3\]"),
        (rewards, ids, {"valid": torch.ones(2, dtype=torch.bool)}, r"valid .*, got bool \[2\]"),
        (rewards, ids, {"valid": torch.ones(3, dtype=torch.int64)}, r"valid .*, got int64 \[3\]"),
        (rewards, ids, {"tau": 2.0}, "0 < tau <= 1, got 2"),
    ):
        with pytest.raises(RuntimeError, match=f"gapo::advantage_by_id expects .*{expected}"):
            distributed.advantage(given, wrong, **options)


class Hashless:
    def __hash__(self):
        raise KeyError("no hash today")


def check_ids_that_are_equal_to_themselves_alone(rank: int) -> None:
    """A NaN is one object on a rank, and another one on each other rank."""
    rewards, ids = rewards_of(6), [np.nan, "a", np.nan, "a", 0.5, np.nan]
    together = torch.cat([rewards, rewards])
    expected = advantage_by_id(together, [0, "a", 0, "a", 0.5, 0, 1, "a", 1, "a", 0.5, 1])
    mine = distributed.advantage(rewards if rank < 2 else rewards[:0], ids if rank < 2 else [])
    assert torch.equal(mine, expected[6 * rank : 6 * rank + 6])


def check_disagreement(rank: int, world: int) -> None:
    """Ranks that do not fit one another: every one of them learns of it."""
    rewards, ids = rewards_of(3), torch.zeros(3, dtype=torch.int64)
    last = rank == world - 1
    for wrong, expected in (
        (([0.5] * 3, ids), "rewards expects a tensor, got list"),
        ((rewards.to_sparse(), ids), "rewards expects a dense tensor with values, got torch.sparse_coo on cpu"),
        ((rewards.to("meta"), ids), "got torch.strided on meta"),
        ((rewards, [Hashless()] * 3), "no hash today"),
        ((rewards, [lambda: 0] * 3), "pickle"),  # an id like any other, but not for other processes
    ):
        refused = expected if last else f"rank {world - 1} of the process group refused its arguments"
        with pytest.raises(Exception, match=refused):
            distributed.advantage(*wrong if last else (rewards, ids))
    wrong = r"gapo::advantage_by_id expects integer group_ids \[N\] with N = 3, got int64 \[2\]"
    with pytest.raises(RuntimeError, match=wrong if last else f"rank {world - 1} of the process group refused"):
        distributed.advantage(rewards, ids[:2] if last else ids)
    dtypes = f"got torch.float16 on rank 0, torch.bfloat16 on rank {world - 1}$"
    with pytest.raises(ValueError, match=f"^rewards expects one dtype on all ranks, {dtypes}"):
        distributed.advantage(rewards.bfloat16() if last else rewards.half(), ids)
    kinds = f"got tensors or arrays of integers on rank 0, lists or other objects on rank {world - 1}$"
    with pytest.raises(ValueError, match=f"^group_ids expects one kind on all ranks, {kinds}"):
        distributed.advantage(rewards, ["a", "b", "c"] if last else ids)
    for options, values in ({"tau": 0.25}, "0.25"), ({"estimator": "rloo"}, "'loo_mean'"), ({"eps": 1.0}, "eps=1.0"):
        rules = f"got Rule.*eps=1e-06.* on rank 0, Rule.*{values}.* on rank {world - 1}$"
        with pytest.raises(
            ValueError, match=f"^tau, center, scale and eps expect one value each on all ranks, {rules}"
        ):
            distributed.advantage(rewards, ids, **(options if last else {}))


def main(rank: int, world: int, store: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    for counts in COUNTS[world]:
        check(rank, world, counts)
    check_a_smaller_group(rank)
    check_the_last_ranks_alone(rank, world)
    check_a_rank_without_rows(rank)
    check_ids_that_are_equal_to_themselves_alone(rank)
    check_errors()
    check_disagreement(rank, world)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("world", COUNTS)
def test_ranks(world, tmp_path):
    arguments = [sys.executable, "-W", "error::UserWarning", __file__]
    ranks = [
        subprocess.Popen(
            [*arguments, str(rank), str(world), str(tmp_path / "store")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parent,
        )
        for rank in range(world)
    ]  # fmt: skip
    try:
        outputs = [rank.communicate(timeout=120)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0] * world, "\n".join(outputs)[-3000:]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
