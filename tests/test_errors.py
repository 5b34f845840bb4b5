"""Arguments that do not fit: the message names the op and the argument, what was expected and what came."""

import re

import numpy as np
import pytest
import torch
from op_samples import CENTERS, OPS, SCALES, ids_of, offsets_of, rewards_of

import gapo_kernels
import gapo_numpy
from gapo_numpy import ESTIMATORS

GOOD = {
    "advantage": (rewards_of(2, 4),),
    "advantage_varlen": (rewards_of(8), offsets_of(3, 5), 5),
    "advantage_by_id": (rewards_of(8), ids_of(8, 2)),
    "advantage_stats": (rewards_of(8), ids_of(8, 2)),
    "token_advantage": (rewards_of(8, 3), torch.ones(8, 3, dtype=torch.bool), ids_of(8, 2)),
}
VALID = {op: torch.ones(2, 4, dtype=torch.bool) if op == "advantage" else torch.ones(8, dtype=torch.bool) for op in OPS}
WITH_IDS = {"advantage_by_id": 1, "advantage_stats": 1, "token_advantage": 2}


def message(expected: str, got: str, op: str) -> str:
    """What the error says, as a pattern."""
    return "^" + re.escape(f"gapo::{op} expects {expected}, got {got}")


def assert_refused(op: str, args: tuple, options: dict, match: str, error: type[Exception] = RuntimeError) -> None:
    """By the op and by its Python function."""
    for function in (getattr(torch.ops.gapo, op), getattr(gapo_kernels, op)):
        with pytest.raises(error, match=match):
            function(*args, **options)


def with_argument(op: str, position: int, value) -> tuple:
    return (*GOOD[op][:position], value, *GOOD[op][position + 1 :])


@pytest.mark.parametrize("op", OPS)
def test_the_good_arguments_are_good(op):
    for function in (getattr(torch.ops.gapo, op), getattr(gapo_kernels, op)):
        function(*GOOD[op], valid=VALID[op])


@pytest.mark.parametrize(
    ("option", "value", "expected", "got"),
    [
        ("tau", 0.0, "0 < tau <= 1", "0"),
        ("tau", -0.5, "0 < tau <= 1", "-0.5"),
        ("tau", 1.5, "0 < tau <= 1", "1.5"),
        ("tau", 1.0000001, "0 < tau <= 1", "1.0000001"),
        ("tau", float("nan"), "0 < tau <= 1", "nan"),
        ("eps", -1e-6, "a finite eps >= 0", "-1e-06"),
        ("eps", float("inf"), "a finite eps >= 0", "inf"),
        ("eps", float("nan"), "a finite eps >= 0", "nan"),
        ("center", "mode", f"center to be one of {', '.join(CENTERS)}", "'mode'"),
        ("center", "", f"center to be one of {', '.join(CENTERS)}", "''"),
        ("center", "Mean", f"center to be one of {', '.join(CENTERS)}", "'Mean'"),
        ("scale", "std", f"scale to be one of {', '.join(SCALES)}", "'std'"),
        ("scale", "", f"scale to be one of {', '.join(SCALES)}", "''"),
    ],
)
@pytest.mark.parametrize("op", OPS)
def test_options(op, option, value, expected, got):
    assert_refused(op, GOOD[op], {option: value}, message(expected, got, op) + "($|\n)")


@pytest.mark.parametrize(
    ("op", "rewards", "expected", "got"),
    [
        ("advantage", torch.tensor(1.0), "float rewards [..., group_size]", "float32 []"),
        ("advantage", torch.ones(4, 2, dtype=torch.int64), "float rewards [..., group_size]", "int64 [4, 2]"),
        ("advantage", torch.ones(4, dtype=torch.bool), "float rewards [..., group_size]", "bool [4]"),
        ("advantage", torch.ones(4, dtype=torch.complex64), "float rewards [..., group_size]", "ComplexFloat [4]"),
        ("advantage", torch.ones(4).to(torch.float8_e4m3fn), "float rewards [..., group_size]", "Float8_e4m3fn [4]"),
        ("advantage_varlen", torch.ones(4, 2), "float rewards [N]", "float32 [4, 2]"),
        ("advantage_varlen", torch.ones(8, dtype=torch.int32), "float rewards [N]", "int32 [8]"),
        ("advantage_by_id", torch.tensor(1.0), "float rewards [N]", "float32 []"),
        ("advantage_by_id", torch.ones(2, 4, dtype=torch.float64), "float rewards [N]", "float64 [2, 4]"),
        ("advantage_by_id", torch.ones(8, dtype=torch.uint8), "float rewards [N]", "uint8 [8]"),
        ("advantage_stats", torch.ones(2, 4, dtype=torch.float16), "float rewards [N]", "float16 [2, 4]"),
        ("advantage_stats", torch.ones(8, dtype=torch.int16), "float rewards [N]", "int16 [8]"),
        ("token_advantage", torch.ones(8, dtype=torch.bfloat16), "float token_rewards [N, L]", "bfloat16 [8]"),
        ("token_advantage", torch.ones(8, 3, 1), "float token_rewards [N, L]", "float32 [8, 3, 1]"),
        ("token_advantage", torch.ones(8, 3, dtype=torch.int8), "float token_rewards [N, L]", "int8 [8, 3]"),
    ],
)
def test_rewards(op, rewards, expected, got):
    assert_refused(op, with_argument(op, 0, rewards), {}, message(expected, got, op))


def test_none_for_a_tensor():
    ops = torch.ops.gapo
    with pytest.raises(RuntimeError, match=message("float rewards [N]", "None", "advantage_by_id")):
        ops.advantage_by_id(None, ids_of(8, 2))
    with pytest.raises(RuntimeError, match=message("integer group_ids [N] with N = 8", "None", "advantage_by_id")):
        ops.advantage_by_id(rewards_of(8), None)
    with pytest.raises(RuntimeError, match=message("a bool, integer or float mask [8, 3]", "None", "token_advantage")):
        ops.token_advantage(*with_argument("token_advantage", 1, None))
    expected = message("int32 or int64 offsets [groups + 1]", "None", "advantage_varlen")
    with pytest.raises(RuntimeError, match=expected):
        ops.advantage_varlen(rewards_of(8), None, 8)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("value", "got"), [(None, "NoneType"), ([0.5] * 8, "list"), (np.ones(8), "ndarray")], ids=str)
def test_rewards_that_are_no_tensor_through_the_python_functions(op, value, got):
    name = "token_rewards" if op == "token_advantage" else "rewards"
    with pytest.raises(TypeError, match=f"^{name} expects a tensor, got {got}$"):
        getattr(gapo_kernels, op)(*with_argument(op, 0, value))


def test_offsets_that_are_no_tensor_through_the_python_functions():
    for offsets, got in (([0, 8], "list"), (None, "NoneType")):
        with pytest.raises(TypeError, match=f"^offsets expects a tensor, got {got}$"):
            gapo_kernels.advantage_varlen(rewards_of(8), offsets)


@pytest.mark.parametrize("op", OPS)
def test_more_than_a_group_may_have(op):
    most = 2**31 - 1  # ranks are counted in 32 bits; views of one value take no memory
    rewards = torch.zeros(1).expand(most + 1)
    ids, offsets = torch.zeros(1, dtype=torch.int64).expand(most + 1), torch.tensor([0, most + 1])
    groups, rows = "groups of fewer than 2^31 rewards", "fewer than 2^31 rows"
    calls = {
        "advantage": [(groups, rewards.view(1, -1))],
        "advantage_varlen": [(groups, rewards, offsets, most + 1)],
        "advantage_by_id": [(rows, rewards, ids)],
        "advantage_stats": [(groups, rewards), (rows, rewards, ids)],
        "token_advantage": [(rows, rewards.view(-1, 1), rewards.view(-1, 1), ids)],
    }
    for expected, *args in calls[op]:
        assert_refused(op, tuple(args), {}, message(expected, str(most + 1), op))


@pytest.mark.parametrize(
    ("rewards", "got"), [(torch.tensor(1.0), r"float32 \[\]"), (torch.ones(3, dtype=torch.int64), r"int64 \[3\]")]
)
def test_rewards_of_stats_without_ids(rewards, got):
    expected = rf"gapo::advantage_stats expects float rewards \[..., group_size\], got {got}"
    assert_refused("advantage_stats", (rewards,), {}, expected)


@pytest.mark.parametrize("op", OPS)
def test_rewards_on_a_device_that_nobody_serves(op):
    args = with_argument(op, 0, GOOD[op][0].to_sparse())
    assert_refused(op, args, {}, f"Could not run 'gapo::{op}' with arguments from the 'SparseCPU' backend")


@pytest.mark.parametrize(
    ("ids", "got"),
    [
        (torch.zeros(7, dtype=torch.int64), "int64 [7]"),
        (torch.zeros(9, dtype=torch.int32), "int32 [9]"),
        (torch.zeros(0, dtype=torch.int64), "int64 [0]"),
        (torch.zeros(8, 1, dtype=torch.int64), "int64 [8, 1]"),
        (torch.tensor(0), "int64 []"),
        (torch.zeros(8), "float32 [8]"),
        (torch.zeros(8, dtype=torch.bool), "bool [8]"),
    ],
)
@pytest.mark.parametrize("op", WITH_IDS)
def test_ids(op, ids, got):
    args = with_argument(op, WITH_IDS[op], ids)
    assert_refused(op, args, {}, message("integer group_ids [N] with N = 8", got, op))


@pytest.mark.parametrize("op", WITH_IDS)
@pytest.mark.parametrize(
    ("ids", "got"),
    [
        (["a"] * 7, "int64 [7]"),
        (np.array(["a"] * 7), "int64 [7]"),
        (np.zeros(7, np.int32), "int64 [7]"),
        (np.full((8, 1), "a"), "int64 [8, 1]"),
        (np.array("abcdefgh"), "int64 []"),
        (np.array(8), "int64 []"),
    ],
    ids=["list", "str", "int32", "columns", "word", "number"],
)
def test_ids_of_another_shape_through_the_python_functions(op, ids, got):
    with pytest.raises(RuntimeError, match=message("integer group_ids [N] with N = 8", got, op)):
        getattr(gapo_kernels, op)(*with_argument(op, WITH_IDS[op], ids))


@pytest.mark.parametrize("op", WITH_IDS)
def test_ids_of_another_kind_through_the_python_functions(op):
    for ids, got in (("abcdefgh", "str"), (8, "int"), ({1, 2}, "set")):
        with pytest.raises(TypeError, match=f"group_ids expects a tensor, an array or a sequence of ids, got {got}"):
            getattr(gapo_kernels, op)(*with_argument(op, WITH_IDS[op], ids))
    with pytest.raises(TypeError, match="group_ids expects hashable ids: unhashable type: 'list'"):
        getattr(gapo_kernels, op)(*with_argument(op, WITH_IDS[op], [["a"]] * 8))
    with pytest.raises(TypeError, match=r"group_ids expects ids that hash by value, got a sequence of tensors"):
        getattr(gapo_kernels, op)(*with_argument(op, WITH_IDS[op], list(ids_of(8, 2))))


@pytest.mark.parametrize(
    ("offsets", "largest", "text"),
    [
        ([0, 5, 3, 8], 8, "offsets that do not decrease, got 5 before 3 at group 1"),
        ([1, 5, 8], 8, "offsets to start at 0, got 1"),
        ([-1, 8], 9, "offsets to start at 0, got -1"),
        ([0, 7], 8, "offsets to end at the number of rewards, 8, got 7"),
        ([0, 9], 9, "offsets to end at the number of rewards, 8, got 9"),
        ([0], 8, "offsets to end at the number of rewards, 8, got 0"),
        ([0, 3, 8], 4, "groups of at most max_group_size = 4 rewards, got 5 in group 1"),
        # far outside the rewards on the way, though the ends fit: nothing there may be read
        ([0, 2**40, 8], 2**41, f"offsets that do not decrease, got {2**40} before 8 at group 1"),
        ([0, -(2**40), 8], 2**41, f"offsets that do not decrease, got 0 before {-(2**40)} at group 0"),
        # the difference wraps and looks like a size
        ([0, 2**63 - 1, -2, 0, 8], 2**63 - 1, f"offsets that do not decrease, got {2**63 - 1} before -2 at group 1"),
    ],
)
def test_offsets(offsets, largest, text):
    args = (rewards_of(8), torch.tensor(offsets), largest)
    assert_refused("advantage_varlen", args, {}, re.escape(f"gapo::advantage_varlen expects {text}") + "($|\n)")


def test_max_group_size():
    args = (rewards_of(8), torch.tensor([0, 3, 8]), -1)
    assert_refused("advantage_varlen", args, {}, message("max_group_size >= 0", "-1", "advantage_varlen"))


@pytest.mark.parametrize(
    ("offsets", "text"),
    [
        (torch.tensor([8, 5, 3, 0]), "offsets to start at 0, got 8"),
        (torch.tensor([0, 5, 3, 1]), "offsets to end at the number of rewards, 8, got 1"),
        (torch.tensor([0]), "offsets to end at the number of rewards, 8, got 0"),
        (torch.tensor([[0], [8]]), r"int32 or int64 offsets \[groups \+ 1\], got int64 \[2, 1\]"),
        (torch.tensor([0, 8], dtype=torch.complex64), "int32 or int64 offsets .*, got ComplexFloat"),
    ],
)
def test_offsets_whose_largest_group_is_looked_for(offsets, text, recwarn):
    """What the caller gave is named, not the largest group that was read from it."""
    with pytest.raises(RuntimeError, match=f"gapo::advantage_varlen expects {text}"):
        gapo_kernels.advantage_varlen(rewards_of(8), offsets)
    assert not recwarn.list


def test_masked_ids():
    """What the mask hides would count."""
    for values in ([1, 1, 2, 2], list("aabb")):
        with pytest.raises(TypeError, match=r"^group_ids expects an array without a mask, got a masked one"):
            gapo_kernels.advantage_by_id(rewards_of(4), np.ma.array(values, mask=[0, 0, 0, 1]))


@pytest.mark.parametrize(
    ("offsets", "got"),
    [
        (torch.tensor([0.0, 8.0]), "float32 [2]"),
        (torch.tensor([0, 8], dtype=torch.int16), "int16 [2]"),
        (torch.tensor([0, 8], dtype=torch.uint16), "uint16 [2]"),
        (torch.tensor([False, True]), "bool [2]"),
        (torch.tensor([[0, 8]]), "int64 [1, 2]"),
        (torch.tensor(8), "int64 []"),
        (torch.tensor([], dtype=torch.int64), "int64 [0]"),
    ],
)
def test_offsets_of_another_kind(offsets, got):
    expected = message("int32 or int64 offsets [groups + 1]", got, "advantage_varlen")
    assert_refused("advantage_varlen", (rewards_of(8), offsets, 8), {}, expected)


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        (torch.ones(8, 4), "float32 [8, 4]"),
        (torch.ones(7, 3, dtype=torch.bool), "bool [7, 3]"),
        (torch.ones(8, dtype=torch.int64), "int64 [8]"),
        (torch.ones(3, 8, dtype=torch.int32), "int32 [3, 8]"),
        (torch.ones(8, 3, dtype=torch.complex64), "ComplexFloat [8, 3]"),
    ],
)
def test_mask(mask, got):
    op = "token_advantage"
    assert_refused(op, with_argument(op, 1, mask), {}, message("a bool, integer or float mask [8, 3]", got, op))


@pytest.mark.parametrize(
    ("valid", "got"),
    [
        (torch.ones(3, dtype=torch.bool), "bool [3]"),
        (torch.ones(8, 3, dtype=torch.bool), "bool [8, 3]"),
        (torch.tensor(True), "bool []"),
        (torch.ones(8, dtype=torch.int64), "int64 [8]"),
        (torch.ones(2, 4, dtype=torch.uint8), "uint8 [2, 4]"),
    ],
)
@pytest.mark.parametrize("op", OPS)
def test_valid(op, valid, got):
    shape = "[2, 4]" if op == "advantage" else "[8]"
    assert_refused(op, GOOD[op], {"valid": valid}, message(f"bool valid {shape}", got, op))


@pytest.mark.parametrize("op", OPS)
def test_valid_on_another_device(op):
    expected = f"gapo::{op} expects valid on cpu, as the rewards, got meta"
    assert_refused(op, GOOD[op], {"valid": VALID[op].to("meta")}, expected)


@pytest.mark.parametrize("op", [op for op in OPS if op != "advantage"])
def test_tensors_on_another_device(op):
    names = [argument.name for argument in getattr(torch.ops.gapo, op).default._schema.arguments]
    for position, value in enumerate(GOOD[op]):
        if position == 0 or not isinstance(value, torch.Tensor):
            continue
        expected = rf"gapo::{op} expects {names[position]} on cpu, as the rewards, got meta"
        assert_refused(op, with_argument(op, position, value.to("meta")), {}, expected)
    expected = rf"gapo::{op} expects \w+ on meta, as the rewards, got cpu"
    assert_refused(op, with_argument(op, 0, GOOD[op][0].to("meta")), {}, expected)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("wrong", ["ppo", None, ["gapo"]])
def test_estimator(op, wrong):
    expected = f"estimator expects one of {', '.join(gapo_kernels.ESTIMATORS)}, got {wrong!r}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        getattr(gapo_kernels, op)(*GOOD[op], estimator=wrong)


@pytest.mark.parametrize(
    ("args", "options", "error", "text"),
    [
        ((np.float32(1),), {}, ValueError, "rewards expects shape [..., group_size], got []"),
        ((["a", "b"],), {}, TypeError, "rewards expects a float array, got <U1 [2]"),
        ((np.ones(4, complex),), {}, TypeError, "rewards expects a float array, got complex128 [4]"),
        (([[1.0], [2.0, 3.0]],), {}, ValueError, "rewards expects an array: setting an array element with a sequence"),
        ((np.ma.masked_invalid([1.0, np.nan]),), {}, TypeError, "rewards expects an array without a mask; valid=~mask"),
        ((np.ones((2, 4)), [0, 1]), {}, ValueError, "rewards expects shape [N], got [2, 4]"),
        ((np.ones(4), [0, 1]), {}, ValueError, "group_ids expects shape [4], got [2]"),
        ((np.ones(1), [0.0]), {}, TypeError, "group_ids expects integers [1], got float64 [1]"),
        ((np.ones(2), np.ma.array([0, 1])), {}, TypeError, "group_ids expects an array without a mask"),
        ((np.ones(2),), {"valid": np.ma.array([True, True])}, TypeError, "valid expects an array without a mask"),
        ((np.ones(2),), {"valid": [True]}, ValueError, "valid expects bool [2], got bool [1]"),
        ((np.ones(1),), {"valid": [1]}, ValueError, "valid expects bool [1], got int64 [1]"),
        ((np.ones(2),), {"tau": 0}, ValueError, "advantage expects 0 < tau <= 1, got 0"),
        ((np.ones(2),), {"tau": 1.5}, ValueError, "advantage expects 0 < tau <= 1, got 1.5"),
        ((np.ones(2),), {"tau": np.nan}, ValueError, "advantage expects 0 < tau <= 1, got nan"),
        ((np.ones(2),), {"tau": None}, TypeError, "tau expects a number, got None"),
        ((np.ones(2),), {"tau": "0.5"}, TypeError, "tau expects a number, got '0.5'"),
        ((np.ones(2),), {"eps": None}, TypeError, "eps expects a number, got None"),
        ((np.ones(2),), {"eps": -1.0}, ValueError, "advantage expects a finite eps >= 0, got -1"),
        ((np.ones(2),), {"eps": np.inf}, ValueError, "advantage expects a finite eps >= 0, got inf"),
        ((np.ones(2),), {"tau": 10**400}, ValueError, "advantage expects 0 < tau <= 1, got inf"),
        ((np.ones(2),), {"center": 7}, TypeError, "center expects a name, got 7"),
        ((np.ones(2),), {"scale": ["rms"]}, TypeError, "scale expects a name, got ['rms']"),
        (
            (np.ones(2),),
            {"estimator": "gap"},
            ValueError,
            f"estimator expects one of {', '.join(ESTIMATORS)}, got 'gap'",
        ),
        ((np.ones(2),), {"center": "mode"}, ValueError, f"center to be one of {', '.join(CENTERS)}, got 'mode'"),
        ((np.ones(2),), {"scale": "std"}, ValueError, f"scale to be one of {', '.join(SCALES)}, got 'std'"),
    ],
)
def test_numpy_arguments(args, options, error, text):
    for function in (gapo_numpy.advantage, gapo_numpy.advantage_stats):
        with pytest.raises(error, match=re.escape(text)):
            function(*args, **options)


@pytest.mark.parametrize(
    ("groups", "group_size", "error", "text"),
    [
        (-1, 4, ValueError, "groups expects an integer >= 0 and < 2^63, got -1"),
        (4, 0, ValueError, "group_size expects an integer >= 1 and < 2^63, got 0"),
        (4, 2**63, ValueError, "group_size expects an integer >= 1 and < 2^63, got 9223372036854775808"),
        ("8", 4, TypeError, "groups expects an integer, got '8'"),
        (8, "cuda", TypeError, "group_size expects an integer, got 'cuda'"),
        (8, 4.0, TypeError, "group_size expects an integer, got 4.0"),
    ],
)
def test_the_plan(groups, group_size, error, text):
    with pytest.raises(error, match=re.escape(text)):
        gapo_kernels.plan(groups, group_size)
